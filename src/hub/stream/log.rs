//! What is to be logged of a stream: kept while it is locked, written when it is not.

use std::sync::Arc;

use super::MemberId;
use crate::base::id::Uuid;
use crate::hub::doctor::Change;
use crate::hub::story::Incident;

/// A line for the log.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) channel: Arc<str>,
    pub(super) stream: Uuid,
    pub(super) what: What,
}

/// What it tells.
#[derive(Debug)]
pub(super) enum What {
    /// Something that happened to the stream.
    Incident(Incident),
    /// What the doctor found in a publisher.
    Finding(MemberId, Change),
}

impl Line {
    /// Writes it.
    pub(super) fn log(self) {
        let (channel, stream) = (&*self.channel, self.stream);
        match self.what {
            What::Incident(incident) => {
                tracing::info!(channel, %stream, incident = incident.kind, "{}", incident.text);
            }
            What::Finding(MemberId(publisher), Change::Appeared(finding)) => tracing::info!(
                channel, %stream, publisher,
                finding = finding.code,
                severity = finding.severity.word(),
                remedy = finding.remedy,
                "{}", finding.text
            ),
            What::Finding(MemberId(publisher), Change::Gone(finding)) => tracing::info!(
                channel, %stream, publisher,
                finding = finding.code,
                "a finding is no longer so"
            ),
        }
    }
}
