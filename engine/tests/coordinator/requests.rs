//! Requests with more than the coordinator takes.

use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use vnotch_engine::group::{Protocol, Request, RequestBody};

/// Bytes of a string that no request may hold.
const LONG: usize = 33_000;

/// Bytes of metadata or assignments that no group takes.
const LARGE: usize = 600 << 10;

/// Changes of a request.
pub(crate) trait Distortion {
    /// Makes the request one that is refused for its size or its form.
    fn distort(&mut self, random: &mut SmallRng);

    /// Lengthens the text of each commit to `chars`.
    fn fill_metadata(&mut self, chars: usize);

    /// Names the first protocol of a join once more, with other metadata. A coordinator passes that one over.
    fn repeat_protocol(&mut self);

    /// Makes each commit one of a consumer that has read topics with this id.
    fn read_topics_with(&mut self, id: u64);
}

impl Distortion for Request {
    fn distort(&mut self, random: &mut SmallRng) {
        let is_long = random.random_bool(0.4);
        match &mut self.body {
            RequestBody::Join(join) if is_long => join.protocol_type = "x".repeat(LONG),
            RequestBody::Join(join) if random.random_bool(0.5) => join.group.clear(),
            RequestBody::Join(join) => {
                join.protocols
                    .iter_mut()
                    .for_each(|protocol| protocol.metadata = Bytes::from(vec![0; LARGE]));
            }
            RequestBody::Sync(sync) if is_long => sync.group.clear(),
            RequestBody::Sync(sync) => {
                sync.assignments = vec![(sync.member_id.clone(), Bytes::from(vec![0; LARGE]))];
            }
            RequestBody::Heartbeat(heartbeat) if is_long => heartbeat.group = "x".repeat(LONG),
            RequestBody::Heartbeat(heartbeat) => heartbeat.group.clear(),
            RequestBody::OffsetDelete(delete) => delete.group.clear(),
            RequestBody::OffsetCommit(commit) if is_long => {
                commit.topics.push(("x".repeat(LONG), Vec::new()));
            }
            RequestBody::OffsetCommit(commit) => {
                let commits = commit.topics.iter_mut().flat_map(|(_, commits)| commits);
                commits.for_each(|commit| commit.metadata = Some("x".repeat(3_000)));
            }
            _ => {}
        }
    }

    fn fill_metadata(&mut self, chars: usize) {
        if let RequestBody::OffsetCommit(commit) = &mut self.body {
            let commits = commit.topics.iter_mut().flat_map(|(_, commits)| commits);
            commits.for_each(|commit| commit.metadata = Some("x".repeat(chars)));
        }
    }

    fn repeat_protocol(&mut self) {
        if let RequestBody::Join(join) = &mut self.body
            && let Some(first) = join.protocols.first().cloned()
        {
            join.protocols.push(Protocol { metadata: Bytes::from_static(b"other"), ..first });
        }
    }

    fn read_topics_with(&mut self, id: u64) {
        if let RequestBody::OffsetCommit(commit) = &mut self.body {
            commit.topic_ids = commit.topics.iter().map(|(name, _)| (name.clone(), id)).collect();
        }
    }
}
