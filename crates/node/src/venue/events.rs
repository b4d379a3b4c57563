//! The last events, for streams that come back after a break.

use crate::api::{EventCursor, PlacedEvent};
use std::{collections::VecDeque, sync::Arc};

/// A bounded memory of events. Older ones are in the journal alone; whoever comes back after more than this reads the
/// present state instead and follows from there.
#[derive(Debug)]
pub struct RecentEvents {
    events: VecDeque<Arc<PlacedEvent>>,
    max: usize,
    /// Everything after this is here.
    after: EventCursor,
}

/// The events after a cursor are no longer here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "events up to {oldest} are no longer kept for streams: read the present state, then follow from its position"
)]
pub struct CursorGone {
    /// Streams can start here or later.
    pub oldest: EventCursor,
}

impl RecentEvents {
    pub(super) fn new(max: usize, after: EventCursor) -> RecentEvents {
        RecentEvents { events: VecDeque::new(), max: max.max(1), after }
    }

    pub(super) fn push(&mut self, event: Arc<PlacedEvent>) {
        self.events.push_back(event);
        while self.events.len() > self.max {
            if let Some(gone) = self.events.pop_front() {
                self.after = EventCursor::from(gone.as_ref());
            }
        }
    }

    /// The events after a cursor, oldest first, at most `limit`.
    pub fn after(&self, cursor: EventCursor, limit: usize) -> Result<Vec<Arc<PlacedEvent>>, CursorGone> {
        if cursor < self.after {
            return Err(CursorGone { oldest: self.after });
        }
        let start = self.events.partition_point(|event| EventCursor::from(event.as_ref()) <= cursor);
        Ok(self.events.iter().skip(start).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{event::Event, units::TimeMs};

    fn event(position: u64, index: u32) -> Arc<PlacedEvent> {
        Arc::new(PlacedEvent {
            position,
            index,
            at_ms: TimeMs(0),
            event: Event::RulesActivated { version: 1 },
        })
    }

    #[test]
    fn a_stream_goes_on_after_its_cursor_or_is_told_that_it_cannot() {
        let mut recent = RecentEvents::new(2, EventCursor { position: 0, index: u32::MAX });
        for (position, index) in [(1, 0), (1, 1), (2, 0)] {
            recent.push(event(position, index));
        }
        let at = |position, index| EventCursor { position, index };
        let cursors = |from| {
            recent
                .after(from, 10)
                .map(|events| events.iter().map(|e| EventCursor::from(e.as_ref())).collect::<Vec<_>>())
        };
        assert_eq!(cursors(at(1, 0)), Ok(vec![at(1, 1), at(2, 0)]));
        assert_eq!(cursors(at(1, u32::MAX)), Ok(vec![at(2, 0)]));
        assert_eq!(cursors(at(9, 0)), Ok(vec![]));
        assert_eq!(cursors(at(0, u32::MAX)), Err(CursorGone { oldest: at(1, 0) }));
    }
}
