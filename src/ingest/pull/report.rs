//! What the log says of a source that is not there: each reason once, then how often.

use tracing::{info, warn};

/// Reasons that are told apart; others are counted only. Far sides and resolvers give a handful.
const MAX_REASONS: usize = 8;
/// Failures in a row between two reminders: a quarter of an hour at the longest pause.
const REMINDER: u64 = 100;

/// Failures since media last came steadily.
#[derive(Debug, Default)]
pub(super) struct Report {
    reasons: Vec<String>,
    attempts: u64,
}

impl Report {
    /// Counts a failed attempt; whether it was worth a line.
    pub(super) fn handle_failure(&mut self, reason: &str) -> bool {
        self.attempts += 1;
        let attempts = self.attempts;
        let is_new = !self.reasons.iter().any(|known| known == reason);
        if is_new && self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason.to_owned());
            info!(reason, attempts, "source is away, trying on");
        } else if attempts.is_multiple_of(REMINDER) {
            warn!(reason, attempts, "source is still away, trying on");
        } else {
            return false;
        }
        true
    }

    /// Media came: from here on every reason is news again.
    pub(super) fn handle_media(&mut self) {
        *self = Report::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_then_counted_and_is_news_again_after_media() {
        let mut report = Report::default();
        assert!(report.handle_failure("refused"));
        assert!(!report.handle_failure("refused"));
        assert!(report.handle_failure("no answer"));
        assert!(!report.handle_failure("refused"));
        report.handle_media();
        assert!(report.handle_failure("refused"));
    }

    #[test]
    fn days_of_failures_are_a_line_in_a_quarter_of_an_hour_and_reasons_do_not_pile_up() {
        let mut report = Report::default();
        let lines = (0..100_000).filter(|attempt| report.handle_failure(&format!("{attempt}")));
        assert_eq!(lines.count(), MAX_REASONS + 1000);
        assert_eq!(report.reasons.len(), MAX_REASONS);
    }
}
