//! What this gateway reads of session descriptions (RFC 8866, RFC 9429) itself: which section carries which
//! track, in which format.

use super::packet::Format;

/// Text of a description at most. Bounds memory and time: a room of a hundred tracks takes half of it.
pub const DESCRIPTION_BYTES: usize = 512 * 1024;
/// Media sections at most.
const SECTIONS: usize = 256;
/// Streams (SSRC) of a section at most.
const STREAMS: usize = 16;

/// A media section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its name (`a=mid`).
    pub mid: String,
    /// Whether it is refused (port 0; in an offer it may also be bundled).
    pub refused: bool,
    /// Whether whoever describes it sends.
    pub sends: bool,
    /// Media stream id and track id (`a=msid`).
    pub msid: Option<(String, String)>,
    /// SSRCs of its streams, without those that repair others.
    pub ssrcs: Vec<u32>,
    /// Payload types with formats that are known here.
    pub formats: Vec<(u8, Format)>,
    /// Payload types whose packets are repeated when they are asked for (`nack`).
    pub repeated: Vec<u8>,
}

/// The media sections of a description, in order. Lines that make no sense are passed over.
pub fn sections(description: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut repairs: Vec<u32> = Vec::new();
    for line in description.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            if sections.len() == SECTIONS {
                break;
            }
            repairs.clear();
            sections.push(Section {
                refused: media.split(' ').nth(1) == Some("0"),
                // What is said of no section holds for all; without a word it is sendrecv (RFC 8866 §6.7).
                sends: true,
                ..Section::default()
            });
        } else if let Some(section) = sections.last_mut()
            && let Some(attribute) = line.strip_prefix("a=")
        {
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            section.read(name, value, &mut repairs);
        }
    }
    sections
}

impl Section {
    fn read(&mut self, name: &str, value: &str, repairs: &mut Vec<u32>) {
        match name {
            "mid" => value.clone_into(&mut self.mid),
            "recvonly" | "inactive" => self.sends = false,
            "sendonly" | "sendrecv" => self.sends = true,
            "msid" => self.msid = self.msid.take().or_else(|| msid(value)),
            // RFC 5576 §4.2: the first carries, the others repair.
            "ssrc-group" => {
                let ssrcs = value
                    .split(' ')
                    .skip(2)
                    .filter_map(|ssrc| ssrc.parse::<u32>().ok());
                repairs.extend(ssrcs.take(STREAMS));
            }
            "ssrc" => self.read_ssrc(value, repairs),
            "rtpmap" => self.read_map(value),
            "rtcp-fb" => {
                let (kind, feedback) = value.split_once(' ').unwrap_or((value, ""));
                if feedback == "nack"
                    && let Ok(kind) = kind.parse()
                {
                    self.repeated.push(kind);
                }
            }
            _ => {}
        }
    }

    /// RFC 5576 §4.1.
    fn read_ssrc(&mut self, value: &str, repairs: &[u32]) {
        let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
        if let Ok(ssrc) = ssrc.parse()
            && !repairs.contains(&ssrc)
            && !self.ssrcs.contains(&ssrc)
            && self.ssrcs.len() < STREAMS
        {
            self.ssrcs.push(ssrc);
        }
        if self.msid.is_none()
            && let Some(value) = attribute.strip_prefix("msid:")
        {
            self.msid = msid(value);
        }
    }

    /// RFC 8866 §6.6.
    fn read_map(&mut self, value: &str) {
        let Some((kind, encoding)) = value.split_once(' ') else {
            return;
        };
        let (Ok(kind), encoding) = (kind.parse(), encoding.to_ascii_lowercase()) else {
            return;
        };
        let format = match encoding.split('/').next() {
            Some("h264") => Format::Avc,
            Some("opus") => Format::Opus,
            _ => return,
        };
        if self.formats.len() < STREAMS {
            self.formats.push((kind, format));
        }
    }
}

/// RFC 8830 §2: stream id and, perhaps, track id.
fn msid(value: &str) -> Option<(String, String)> {
    let mut parts = value.split(' ').filter(|part| !part.is_empty());
    let stream = parts.next()?.to_owned();
    let track = parts.next().unwrap_or(&stream).to_owned();
    Some((stream, track))
}

/// An answer without what cannot be read: sections that take payload types which are another format in the offer
/// are refused (RFC 9429 §5.3.1), and leave the bundle (RFC 9143 §7.3.3).
pub fn refuse_unread(offer: &str, answer: &str) -> String {
    let unread: Vec<Option<String>> = sections(offer)
        .into_iter()
        .zip(sections(answer))
        .map(|(offered, answered)| {
            let reads = |format| offered.formats.contains(format);
            let unread = !answered.formats.is_empty() && !answered.formats.iter().any(reads);
            unread.then_some(answered.mid)
        })
        .collect();
    if unread.iter().all(Option::is_none) {
        return answer.to_owned();
    }
    let mut count = 0;
    let mut out = String::with_capacity(answer.len());
    for line in answer.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let refused = unread.get(count).is_some_and(Option::is_some);
            count += 1;
            let mut words = media.splitn(3, ' ');
            if refused
                && let (Some(kind), Some(_), Some(rest)) =
                    (words.next(), words.next(), words.next())
            {
                out.push_str(&format!("m={kind} 0 {rest}\r\n"));
                continue;
            }
        } else if let Some(bundle) = line.strip_prefix("a=group:BUNDLE") {
            let gone = |mid: &&str| unread.iter().flatten().any(|gone| gone == mid);
            let kept = bundle.split_ascii_whitespace().filter(|mid| !gone(mid));
            let kept: Vec<&str> = kept.collect();
            out.push_str(&format!("a=group:BUNDLE {}\r\n", kept.join(" ")));
            continue;
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\na=group:BUNDLE 0 1 2\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\na=sendonly\r\na=msid:PA_x|TR_a TR_a\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=ssrc:11 cname:x\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=sendrecv\r\na=rtpmap:96 H264/90000\r\n\
        a=rtpmap:97 rtx/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
        a=ssrc-group:FID 21 22\r\na=ssrc:21 msid:s t\r\na=ssrc:22 msid:s t\r\n\
        m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=inactive\r\n";

    #[test]
    fn sections_say_which_stream_carries_which_track() {
        let sections = sections(OFFER);
        assert_eq!(sections.len(), 3);
        let (audio, video, data) = (&sections[0], &sections[1], &sections[2]);
        assert_eq!(
            audio.msid,
            Some(("PA_x|TR_a".to_owned(), "TR_a".to_owned()))
        );
        assert_eq!(
            (&audio.formats[..], &audio.ssrcs[..]),
            (&[(111, Format::Opus)][..], &[11][..])
        );
        assert!(audio.repeated.is_empty());
        assert_eq!(video.msid, Some(("s".to_owned(), "t".to_owned())));
        assert_eq!(
            (&video.formats[..], &video.ssrcs[..]),
            (&[(96, Format::Avc)][..], &[21][..])
        );
        assert_eq!(
            (video.repeated.as_slice(), video.mid.as_str()),
            (&[96][..], "1")
        );
        assert!(audio.sends && video.sends && !data.sends);
        assert!(data.refused && !video.refused);
    }

    #[test]
    fn a_section_whose_payload_types_are_another_format_is_refused() {
        let answer = "v=0\r\na=group:BUNDLE 0 1 2\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
            a=rtpmap:111 opus/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:1\r\n\
            a=rtpmap:98 H264/90000\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";
        let refused = refuse_unread(OFFER, answer);
        assert!(refused.contains("a=group:BUNDLE 0 2\r\n"));
        assert!(refused.contains("m=video 0 UDP/TLS/RTP/SAVPF 98\r\n"));
        assert_eq!(refused.lines().count(), answer.lines().count());
        let taken = answer.replace(":98", ":96");
        assert_eq!(refuse_unread(OFFER, &taken), taken);
    }

    #[test]
    fn any_text_is_read() {
        for text in [
            "",
            "m=",
            "m=\na=ssrc",
            "m=x\na=ssrc-group:FID\na=msid:\na=rtpmap:1\na=rtcp-fb:",
        ] {
            sections(text);
        }
        let many = "m=video 9 x\n".repeat(10_000);
        assert_eq!(sections(&many).len(), SECTIONS);
    }
}
