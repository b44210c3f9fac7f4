//! Requests of operators, and requests that no client should send.

use super::super::Op;
use super::super::client::{Flavour, Phase};
use super::super::differences::KnownDifference;
use super::{GROUPS, Generator};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use vnotch_engine::group::{
    Client, DeleteGroups, DescribeGroups, ListGroups, OffsetDelete, OffsetFetch, RequestBody,
};

impl Generator {
    fn any_group(&mut self) -> String {
        if self.one_in(12) {
            return "nobody-group".to_owned();
        }
        (*GROUPS.choose(&mut self.random).unwrap()).to_owned()
    }

    /// A request of an operator, or of a consumer that assigns partitions itself.
    pub(super) fn administration(&mut self) -> Op {
        let client = Client { id: "admin".to_owned(), host: "/10.0.0.1".to_owned() };
        let group = self.any_group();
        let body = match self.random.random_range(0..10) {
            0 | 1 => RequestBody::DescribeGroups(DescribeGroups { groups: vec![group, self.any_group()] }),
            2 => {
                let states = ["stable", "Empty", "PreparingRebalance "];
                let states = if self.one_in(2) {
                    vec![]
                } else {
                    vec![(*states.choose(&mut self.random).unwrap()).to_owned()]
                };
                let types = if self.one_in(4) { vec!["classic".to_owned()] } else { vec![] };
                RequestBody::ListGroups(ListGroups { states, types })
            }
            3 | 4 => {
                let topics = vec![("t0".to_owned(), vec![0, 1]), ("t1".to_owned(), vec![0])];
                RequestBody::OffsetDelete(OffsetDelete { group, topics })
            }
            5 => RequestBody::DeleteGroups(DeleteGroups { groups: vec![group] }),
            6 => RequestBody::OffsetFetch(OffsetFetch { group, topics: None }),
            _ => {
                let mut consumer = self.consumers.choose(&mut self.random).unwrap().clone();
                consumer.group = group;
                return self.commit_as(&consumer, -1, String::new());
            }
        };
        let version = if self.random.random_bool(0.5) { 6 } else { 5 };
        self.request(&client, version, body)
    }

    /// A request that no client should send, or that comes too late.
    pub(super) fn oddity(&mut self) -> Op {
        let index = self.random.random_range(0..self.consumers.len());
        let mut odd = self.consumers[index].clone();
        match self.random.random_range(0..7) {
            0 => odd.member_id = "stranger".to_owned(),
            1 => odd.generation += if self.random.random_bool(0.5) { 1 } else { -1 },
            2 => odd.instance_id = Some(format!("i{}", self.random.random_range(0..4))),
            3 => odd.flavour = *[Flavour::Workers, Flavour::Garbled].choose(&mut self.random).unwrap(),
            4 => odd.group = if self.one_in(4) { String::new() } else { self.any_group() },
            5 => odd.protocol = Some("unheard-of".to_owned()),
            _ => odd.session_timeout_ms = 500,
        }
        if odd.instance_id.is_some() && odd.phase == Phase::Out && !self.has(KnownDifference::StaticPendingId)
        {
            odd.member_id.clear();
        }
        let is_parked = matches!(odd.phase, Phase::Joining(_) | Phase::Syncing(_));
        let first = if is_parked && !self.has(KnownDifference::RequestAgain) { 5 } else { 0 };
        let mut kept = std::mem::replace(&mut self.consumers[index], odd);
        let op = match self.random.random_range(first..8) {
            0 | 1 => self.join(index),
            2 | 3 => self.sync(index),
            4 => self.leave(index),
            5 | 6 => self.heartbeat(index),
            _ => self.commit(index),
        };
        let odd = &self.consumers[index];
        // The client waits for the reply, if the request was in its own name.
        if (&odd.group, &odd.member_id, &odd.instance_id) == (&kept.group, &kept.member_id, &kept.instance_id)
        {
            kept.phase = odd.phase;
        }
        self.consumers[index] = kept;
        op
    }
}
