//! The output of one process between its pipes and the host: numbered chunks, kept until acknowledged, bounded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// proto/agent: one chunk, and what is kept unacknowledged.
pub const MAX_CHUNK_BYTES: usize = 32 * 1024;
const MAX_KEPT_BYTES: usize = 1024 * 1024;
/// What a chunk costs beside its bytes, so that a flood of tiny ones is bounded too.
const CHUNK_OVERHEAD_BYTES: usize = 128;
/// proto/agent: lines of a chunk are stamped time + index.
const MIN_STEP_NS: i64 = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub sequence: u64,
    pub time_ns: i64,
    /// None: both streams have ended.
    pub content: Option<(Stream, Vec<u8>)>,
}

/// What a reader is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Send(Chunk),
    /// Nothing new yet: see `changed`.
    Wait,
    /// The last chunk was sent and acknowledged.
    Done,
    /// A younger reader has taken over.
    Replaced,
    /// The session is being deleted.
    Closed,
}

/// Names one reader among those before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderId(u64);

#[derive(Default)]
pub struct Output {
    state: Mutex<State>,
    /// Something for readers.
    changed: Notify,
    /// Something for the pumps.
    room: Notify,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    kept_bytes: usize,
    last_sequence: u64,
    last_time_ns: i64,
    acknowledged: u64,
    ended: bool,
    closed: bool,
    reader: u64,
}

impl Output {
    /// Waits until bytes may be read, and says how many; None when the output is closed.
    pub async fn room(&self) -> Option<usize> {
        loop {
            let woken = self.room.notified();
            {
                let state = self.state();
                if state.closed {
                    return None;
                }
                let left = MAX_KEPT_BYTES.saturating_sub(state.kept_bytes + CHUNK_OVERHEAD_BYTES);
                if left > 0 {
                    return Some(left.min(MAX_CHUNK_BYTES));
                }
            }
            woken.await;
        }
    }

    pub fn push(&self, stream: Stream, bytes: Vec<u8>, now_ns: i64) {
        self.append(Some((stream, bytes)), now_ns);
    }

    /// Both streams have ended.
    pub fn finish(&self, now_ns: i64) {
        self.append(None, now_ns);
    }

    /// No more output, sent or kept.
    pub fn close(&self) {
        {
            let mut state = self.state();
            state.closed = true;
            state.chunks.clear();
            state.kept_bytes = 0;
        }
        self.changed.notify_waiters();
        self.room.notify_waiters();
    }

    /// A new reader; the one before it will be told `Replaced`.
    pub fn attach(&self) -> ReaderId {
        let id = {
            let mut state = self.state();
            state.reader += 1;
            ReaderId(state.reader)
        };
        self.changed.notify_waiters();
        id
    }

    /// The next chunk after `sent`.
    pub fn next(&self, reader: ReaderId, sent: u64) -> Next {
        let state = self.state();
        if state.closed {
            return Next::Closed;
        }
        if ReaderId(state.reader) != reader {
            return Next::Replaced;
        }
        if let Some(chunk) = state.chunks.iter().find(|chunk| chunk.sequence > sent) {
            return Next::Send(chunk.clone());
        }
        if state.ended && state.acknowledged >= state.last_sequence { Next::Done } else { Next::Wait }
    }

    /// Resolves after the next change; take it before calling `next`.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Chunks up to and with `sequence` are not wanted any more. Numbers never given out count as the last given.
    pub fn acknowledge(&self, sequence: u64) {
        {
            let mut state = self.state();
            state.acknowledged = state.acknowledged.max(sequence.min(state.last_sequence));
            while state.chunks.front().is_some_and(|chunk| chunk.sequence <= state.acknowledged) {
                let dropped = state.chunks.pop_front();
                state.kept_bytes = state.kept_bytes.saturating_sub(dropped.as_ref().map_or(0, cost));
            }
        }
        self.room.notify_waiters();
        self.changed.notify_waiters();
    }

    fn append(&self, content: Option<(Stream, Vec<u8>)>, now_ns: i64) {
        {
            let mut state = self.state();
            if state.closed || state.ended {
                return;
            }
            state.ended = content.is_none();
            state.last_sequence += 1;
            state.last_time_ns = now_ns.max(state.last_time_ns.saturating_add(MIN_STEP_NS));
            let chunk = Chunk { sequence: state.last_sequence, time_ns: state.last_time_ns, content };
            state.kept_bytes += cost(&chunk);
            state.chunks.push_back(chunk);
        }
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(chunk: &Chunk) -> usize {
    CHUNK_OVERHEAD_BYTES + chunk.content.as_ref().map_or(0, |(_, bytes)| bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(output: &Output, reader: ReaderId, after: u64) -> Chunk {
        match output.next(reader, after) {
            Next::Send(chunk) => chunk,
            other => panic!("expected a chunk, got {other:?}"),
        }
    }

    #[test]
    fn sends_the_same_chunk_again_until_it_is_acknowledged() {
        let output = Output::default();
        output.push(Stream::Stdout, b"one".to_vec(), 10);
        output.push(Stream::Stderr, b"two".to_vec(), 20);
        let first = sent(&output, output.attach(), 0);
        let reader = output.attach();
        assert_eq!(sent(&output, reader, 0), first);
        output.acknowledge(1);
        assert_eq!(sent(&output, reader, 0).sequence, 2);
    }

    #[test]
    fn times_rise_by_a_step_even_when_the_clock_goes_back() {
        let output = Output::default();
        for now in [1_000_000, 1_000_001, 5] {
            output.push(Stream::Stdout, vec![b'x'], now);
        }
        let reader = output.attach();
        let times: Vec<i64> = (0..3).map(|after| sent(&output, reader, after).time_ns).collect();
        assert_eq!(times, [1_000_000, 1_000_000 + MIN_STEP_NS, 1_000_000 + 2 * MIN_STEP_NS]);
    }

    #[test]
    fn is_done_when_the_end_is_acknowledged_and_not_before() {
        let output = Output::default();
        output.finish(1);
        let reader = output.attach();
        assert_eq!(sent(&output, reader, 0).content, None);
        assert_eq!(output.next(reader, 1), Next::Wait);
        output.acknowledge(u64::MAX);
        assert_eq!(output.next(reader, 1), Next::Done);
    }

    #[test]
    fn tells_an_older_reader_that_it_was_replaced() {
        let output = Output::default();
        let older = output.attach();
        let younger = output.attach();
        assert_eq!(output.next(older, 0), Next::Replaced);
        assert_eq!(output.next(younger, 0), Next::Wait);
    }

    #[tokio::test]
    async fn gives_no_room_when_full_and_room_again_after_an_acknowledgement() {
        let output = Output::default();
        while let Some(bytes) = tokio::select! { biased; room = output.room() => room, () = async {} => None } {
            output.push(Stream::Stdout, vec![0; bytes], 1);
        }
        assert!(output.state().kept_bytes <= MAX_KEPT_BYTES);
        let (room, ()) = tokio::join!(output.room(), async { output.acknowledge(1) });
        assert_eq!(room, Some(MAX_CHUNK_BYTES));
    }

    #[tokio::test]
    async fn is_closed_for_readers_and_pumps_alike() {
        let output = Output::default();
        let reader = output.attach();
        output.close();
        output.push(Stream::Stdout, vec![1], 1);
        assert_eq!(output.next(reader, 0), Next::Closed);
        assert_eq!(output.room().await, None);
    }
}
