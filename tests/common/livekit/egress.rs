//! Egress: not here yet.
use std::collections::BTreeMap;

use super::room::Room;
use super::state::Context;

/// All egresses.
#[derive(Default)]
pub struct Egresses {}

impl Egresses {
    pub fn follow(&mut self, _rooms: &mut BTreeMap<String, Room>, _context: &mut Context) {}
}
