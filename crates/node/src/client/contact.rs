//! Whether the market answers, seen over all requests at once: whoever waits is told once per outage, however many
//! requests fail in it.

use super::{ClientError, Market};
use std::time::Duration;
use tokio::sync::watch;

/// The longest wait that a market is granted with `Retry-After`.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How the connection to a market is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Requests that failed and will be sent again.
    waiting: u32,
    trouble: Option<String>,
}

impl Contact {
    /// Why the market cannot be used now; `None` while it can. It is asked again meanwhile.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

/// Where all requests say how they fare.
#[derive(Debug, Default)]
pub(super) struct Line(watch::Sender<Contact>);

impl Line {
    /// A request failed and will be sent again.
    fn failed(&self, error: &ClientError) -> Waiting {
        self.0.send_if_modified(|contact| {
            contact.waiting += 1;
            let is_news = contact.trouble.is_none();
            contact.trouble.get_or_insert_with(|| error.to_string());
            is_news
        });
        Waiting(self.0.clone())
    }

    /// A request was answered. That ends the outage, unless others still wait: they may ask for something else.
    fn answered(&self) {
        self.0.send_if_modified(|contact| contact.waiting == 0 && contact.trouble.take().is_some());
    }
}

/// A request that waits for another try.
struct Waiting(watch::Sender<Contact>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.send_if_modified(|contact| {
            contact.waiting -= 1;
            false
        });
    }
}

/// The tries of one request.
pub(super) struct Tries<'a, D> {
    line: &'a Line,
    delays: D,
    waiting: Option<Waiting>,
}

impl<'a, D: Iterator<Item = Duration>> Tries<'a, D> {
    /// Before the first one.
    pub(super) fn new(line: &'a Line, delays: D) -> Tries<'a, D> {
        Tries { line, delays, waiting: None }
    }

    /// Waits before the next try. The error, when it is an answer for good, or the patience is over.
    pub(super) async fn again(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !error.is_passing() {
            self.answered();
            return Err(error);
        }
        let Some(delay) = self.delays.next() else { return Err(error) };
        if error.is_outage() {
            self.waiting.get_or_insert_with(|| self.line.failed(&error));
        }
        tokio::time::sleep(error.retry_after().map_or(delay, |least| delay.max(least))).await;
        Ok(())
    }

    /// Waits before something is done again that did not fail.
    pub(super) async fn pause(&mut self, longest: Duration) {
        tokio::time::sleep(self.delays.next().unwrap_or(longest)).await;
    }

    /// The market answered.
    pub(super) fn answered(&mut self) {
        self.waiting = None;
        self.line.answered();
    }
}

impl Market {
    /// How the connection to the market is, over all requests that are made with this [`Market`] and its clones.
    pub fn contact(&self) -> watch::Receiver<Contact> {
        let mut contact = self.inner.line.0.subscribe();
        contact.mark_changed();
        contact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble() -> ClientError {
        ClientError::Unreachable { address: "here".into(), reason: "it is gone".into() }
    }

    #[test]
    fn an_outage_is_news_once_and_over_when_nobody_waits_any_more() {
        let line = Line::default();
        let mut contact = line.0.subscribe();
        let mut news = || {
            let is_news = contact.has_changed().unwrap();
            (is_news, contact.borrow_and_update().trouble().is_some())
        };
        let (one, two) = (line.failed(&trouble()), line.failed(&trouble()));
        assert_eq!(news(), (true, true));
        drop(one);
        line.answered();
        assert_eq!(news(), (false, true), "the other request still waits");
        drop(two);
        assert_eq!(news(), (false, true), "giving up is not an answer");
        line.answered();
        assert_eq!(news(), (true, false));
        line.answered();
        assert_eq!(news(), (false, false));
    }
}
