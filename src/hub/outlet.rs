//! Those who take every rendition's units on the frame path: the packager.

use std::sync::Arc;

use crate::media::{AccessUnit, Boundary, Rendition, RenditionId, Track};

/// Takes stamped units of all renditions of one stream. Called under the stream's lock: it must not
/// block and must not call back into the stream.
pub trait Outlet: Send {
    /// A rendition exists from now on.
    fn handle_rendition(&mut self, rendition: &Arc<Rendition>);

    /// The units that follow have another codec configuration. A boundary with a discontinuity comes
    /// with the first of them.
    fn handle_track(&mut self, id: RenditionId, track: &Arc<Track>);

    /// One unit in channel time. `boundaries` is what opens with it: usually nothing or one; more than
    /// one when the rendition has no media for the earlier ones.
    fn handle_unit(&mut self, id: RenditionId, unit: AccessUnit, boundaries: &[Boundary]);

    /// A segment begins of which the rendition has no media. It lasts until the rendition's next
    /// boundary, whether that comes with a unit or with another call of this.
    fn handle_gap(&mut self, id: RenditionId, boundary: &Boundary);

    /// Nothing of the rendition is to be served any more.
    fn handle_removed(&mut self, id: RenditionId);

    /// The renditions that manifests list, best first. Called once when the first multivariant
    /// playlist is decided, and again when the set changes.
    fn handle_listed(&mut self, ids: &[RenditionId]);

    /// The publisher went away: what is held back for a successor's sake is published now.
    fn handle_break(&mut self);

    /// The process stops, the stream may go on in the next one: what is open is finished, without an
    /// end.
    fn handle_stop(&mut self) {
        self.handle_break();
    }

    /// The stream is over; nothing follows.
    fn handle_end(&mut self);
}
