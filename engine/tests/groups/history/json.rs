//! Writes histories as JSON lines, so that Kafka's own coordinator can be driven through them.

use super::differences::KnownDifference;
use super::run::Step;
use super::{Fate, Op, Settings};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use vnotch_engine::group::{
    AppendFailure, GroupError, GroupView, JoinGroup, OffsetCommit, Reply, ReplyBody, RequestBody, SyncGroup,
    TopicOutcomes,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// Returns the line that starts a history.
pub(crate) fn start(settings: &Settings) -> Value {
    let config = &settings.config;
    // Otherwise the driver gives Kafka the first of each name alone.
    let names_protocols_twice = settings.differences.contains(&KnownDifference::ProtocolTwice);
    json!({"history": settings.seed, "names_protocols_twice": names_protocols_twice, "config": {
        "start_ms": settings.start_ms,
        "group_max_size": config.group_max_size,
        "initial_rebalance_delay_ms": config.initial_rebalance_delay_ms,
        "new_member_join_timeout_ms": config.new_member_join_timeout_ms,
        "min_session_timeout_ms": config.min_session_timeout_ms,
        "max_session_timeout_ms": config.max_session_timeout_ms,
        "offset_metadata_max_bytes": config.offset_metadata_max_chars,
        "offsets_retention_ms": config.offsets_retention_ms,
    }})
}

/// Returns the line of a step.
pub(crate) fn step(number: usize, step: &Step) -> Value {
    let groups: Map<String, Value> =
        step.groups.iter().map(|(id, view)| (id.clone(), view.as_ref().map_or(Value::Null, group))).collect();
    let mut line = json!({
        "step": number,
        "now": step.now.unix_ms,
        "op": op(&step.op),
        "replies": step.replies.iter().map(reply).collect::<Vec<_>>(),
        "groups": groups,
        "records": step.records.iter().map(|record| json!([hex(&record.key), record.value.as_deref().map(hex)])).collect::<Vec<_>>(),
    });
    if has_too_many_bytes(step) {
        line["op"]["too_many_bytes"] = true.into();
    }
    if changes_offsets(&step.op) {
        line["offsets"] = step
            .offsets
            .iter()
            .map(|(id, offsets)| {
                let offsets = offsets.iter().map(|(key, value)| {
                    json!([
                        key.topic,
                        key.partition,
                        value.offset,
                        value.leader_epoch,
                        value.metadata,
                        value.committed_ms,
                        value.expires_ms.unwrap_or(-1)
                    ])
                });
                (id.clone(), Value::from(offsets.collect::<Vec<_>>()))
            })
            .collect::<Map<_, _>>()
            .into();
    }
    line
}

/// Says whether the step is a JoinGroup for whose bytes the group has no room.
fn has_too_many_bytes(step: &Step) -> bool {
    let Op::Request { request, .. } = &step.op else { return false };
    step.replies.iter().any(|reply| {
        let ReplyBody::Join(join) = &reply.body else { return false };
        reply.token == request.token && matches!(join.outcome, Err(GroupError::MessageTooLarge))
    })
}

fn changes_offsets(op: &Op) -> bool {
    match op {
        Op::Request { request, .. } => matches!(
            request.body,
            RequestBody::OffsetCommit(_) | RequestBody::OffsetDelete(_) | RequestBody::DeleteGroups(_)
        ),
        Op::Expire { .. } | Op::Restart => true,
        Op::AppendDone { .. } | Op::Advance { .. } | Op::Jump { .. } => false,
    }
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Ok => "ok",
        Fate::Open => "defer",
        Fate::Fails(AppendFailure::Unavailable) => "NOT_ENOUGH_REPLICAS",
        Fate::Fails(AppendFailure::Storage) => "KAFKA_STORAGE_ERROR",
        Fate::Fails(AppendFailure::TooLarge) => "MESSAGE_TOO_LARGE",
    }
}

fn op(op: &Op) -> Value {
    match op {
        Op::Request { request, fate: append } => {
            let mut value = body(&request.body);
            value["token"] = request.token.0.into();
            value["api"] = request.api_version.into();
            value["client"] = request.client.id.clone().into();
            value["host"] = request.client.host.clone().into();
            value["append"] = fate(*append).into();
            value
        }
        Op::AppendDone { of, fate: append } => {
            json!({"kind": "append_done", "of": of.0, "append": fate(*append)})
        }
        Op::Advance { ms, fate: append } => json!({"kind": "advance", "ms": ms, "append": fate(*append)}),
        Op::Jump { ms } => json!({"kind": "jump", "ms": ms}),
        Op::Expire { fate: append } => json!({"kind": "cleanup", "append": fate(*append)}),
        Op::Restart => json!({"kind": "restart"}),
    }
}

fn body(body: &RequestBody) -> Value {
    match body {
        RequestBody::Join(join) => join_body(join),
        RequestBody::Sync(sync) => sync_body(sync),
        RequestBody::Heartbeat(request) => json!({
            "kind": "heartbeat", "group": request.group, "generation": request.generation,
            "member": request.member_id, "instance": request.instance_id,
        }),
        RequestBody::Leave(request) => json!({
            "kind": "leave", "group": request.group,
            "members": request.members.iter().map(|member| json!([member.member_id, member.instance_id])).collect::<Vec<_>>(),
        }),
        RequestBody::OffsetCommit(request) => commit_body(request),
        RequestBody::OffsetFetch(request) => {
            json!({"kind": "fetch", "group": request.group, "topics": request.topics})
        }
        RequestBody::OffsetDelete(request) => {
            json!({"kind": "offset_delete", "group": request.group, "topics": request.topics})
        }
        RequestBody::DeleteGroups(request) => json!({"kind": "delete_groups", "groups": request.groups}),
        RequestBody::DescribeGroups(request) => json!({"kind": "describe", "groups": request.groups}),
        RequestBody::ListGroups(request) => {
            json!({"kind": "list", "states": request.states, "types": request.types})
        }
    }
}

fn join_body(join: &JoinGroup) -> Value {
    let bits = format!("{:032x}", join.random);
    let uuid = [&bits[..8], &bits[8..12], &bits[12..16], &bits[16..20], &bits[20..]].join("-");
    let protocols = join.protocols.iter().map(|protocol| json!([protocol.name, hex(&protocol.metadata)]));
    json!({
        "kind": "join", "group": join.group, "member": join.member_id, "instance": join.instance_id, "uuid": uuid,
        "protocol_type": join.protocol_type, "protocols": protocols.collect::<Vec<_>>(),
        "session_ms": join.session_timeout_ms, "rebalance_ms": join.rebalance_timeout_ms,
    })
}

fn sync_body(sync: &SyncGroup) -> Value {
    let assignments = sync.assignments.iter().map(|(member, bytes)| json!([member, hex(bytes)]));
    json!({
        "kind": "sync", "group": sync.group, "generation": sync.generation, "member": sync.member_id,
        "instance": sync.instance_id, "protocol_type": sync.protocol_type, "protocol": sync.protocol,
        "assignments": assignments.collect::<Vec<_>>(),
    })
}

fn commit_body(request: &OffsetCommit) -> Value {
    let topics = request.topics.iter().map(|(topic, partitions)| {
        let partitions = partitions
            .iter()
            .map(|commit| json!([commit.partition, commit.offset, commit.leader_epoch, commit.metadata]));
        json!([topic, partitions.collect::<Vec<_>>()])
    });
    json!({
        "kind": "commit", "group": request.group, "generation": request.generation, "member": request.member_id,
        "instance": request.instance_id, "retention_ms": request.retention_ms.unwrap_or(-1),
        "topics": topics.collect::<Vec<_>>(),
    })
}

fn name<T>(outcome: &Result<T, GroupError>) -> &'static str {
    outcome.as_ref().err().map_or("NONE", |error| error.name())
}

fn reply(reply: &Reply) -> Value {
    let mut value = match &reply.body {
        ReplyBody::Join(join) => match &join.outcome {
            Ok(joined) => {
                let mut members: Vec<_> = joined.members.iter().collect();
                members.sort_by(|a, b| a.id.cmp(&b.id));
                let members = members
                    .iter()
                    .map(|member| json!([member.id, member.instance_id, hex(&member.metadata)]));
                json!({
                    "kind": "join", "error": "NONE", "member": join.member_id, "generation": joined.generation,
                    "leader": joined.leader, "protocol_type": joined.protocol_type, "protocol": joined.protocol,
                    "skip": joined.skips_assignment, "members": members.collect::<Vec<_>>(),
                })
            }
            Err(error) => json!({"kind": "join", "error": error.name(), "member": join.member_id}),
        },
        ReplyBody::Sync(Ok(synced)) => json!({
            "kind": "sync", "error": "NONE", "protocol_type": synced.protocol_type, "protocol": synced.protocol,
            "assignment": hex(&synced.assignment),
        }),
        ReplyBody::Sync(Err(error)) => json!({"kind": "sync", "error": error.name()}),
        ReplyBody::Heartbeat(outcome) => json!({"kind": "heartbeat", "error": name(outcome)}),
        ReplyBody::Leave(outcome) => {
            let members = outcome.iter().flatten();
            let members =
                members.map(|member| json!([member.member_id, member.instance_id, name(&member.outcome)]));
            json!({"kind": "leave", "error": name(outcome), "members": members.collect::<Vec<_>>()})
        }
        ReplyBody::OffsetCommit(topics) => {
            json!({"kind": "commit", "error": "NONE", "topics": outcomes(topics)})
        }
        ReplyBody::OffsetDelete(outcome) => {
            let topics = outcome.as_ref().map(|topics| outcomes(topics)).unwrap_or_default();
            json!({"kind": "offset_delete", "error": name(outcome), "topics": topics})
        }
        other => read_reply(other),
    };
    value["token"] = reply.token.0.into();
    value
}

fn outcomes(topics: &[TopicOutcomes]) -> Vec<Value> {
    let topic = |(topic, partitions): &TopicOutcomes| {
        json!([
            topic,
            partitions.iter().map(|(number, outcome)| json!([number, name(outcome)])).collect::<Vec<_>>()
        ])
    };
    topics.iter().map(topic).collect()
}

fn read_reply(body: &ReplyBody) -> Value {
    match body {
        ReplyBody::OffsetFetch(outcome) => {
            let mut topics: Vec<_> = outcome.iter().flatten().collect();
            topics.sort_by(|a, b| a.0.cmp(&b.0));
            let topics = topics.iter().map(|(topic, offsets)| {
                let offsets = offsets.iter().map(|offset| {
                    json!([offset.partition, offset.offset, offset.leader_epoch, offset.metadata, "NONE"])
                });
                json!([topic, offsets.collect::<Vec<_>>()])
            });
            json!({"kind": "fetch", "error": name(outcome), "topics": topics.collect::<Vec<_>>()})
        }
        ReplyBody::DeleteGroups(groups) => {
            let groups = groups.iter().map(|(group, outcome)| json!([group, name(outcome)]));
            json!({"kind": "delete_groups", "error": "NONE", "groups": groups.collect::<Vec<_>>()})
        }
        ReplyBody::DescribeGroups(groups) => {
            let groups = groups.iter().map(|group| {
                let members = group.members.iter().map(|member| {
                    json!([
                        member.id,
                        member.instance_id,
                        member.client_id,
                        member.client_host,
                        hex(&member.metadata),
                        hex(&member.assignment)
                    ])
                });
                json!({
                    "group": group.group, "error": group.error.map_or("NONE", GroupError::name), "state": group.state,
                    "protocol_type": group.protocol_type, "protocol": group.protocol,
                    "members": members.collect::<Vec<_>>(),
                })
            });
            json!({"kind": "describe", "error": "NONE", "groups": groups.collect::<Vec<_>>()})
        }
        ReplyBody::ListGroups(outcome) => {
            let groups = outcome.iter().flatten();
            let groups =
                groups.map(|group| json!([group.group, group.protocol_type, group.state, "classic"]));
            json!({"kind": "list", "error": name(outcome), "groups": groups.collect::<Vec<_>>()})
        }
        _ => unreachable!("other replies are written by their own functions"),
    }
}

fn group(view: &GroupView) -> Value {
    let members = view.members.iter().map(|member| {
        json!([
            member.id,
            member.instance_id,
            hex(&member.assignment),
            member.awaits_join,
            member.awaits_sync
        ])
    });
    json!({
        "state": view.state.name(), "generation": view.generation, "leader": view.leader,
        "protocol": view.protocol, "protocol_type": view.protocol_type, "members": members.collect::<Vec<_>>(),
        "pending": view.pending, "pending_sync": view.pending_sync, "subscribed": view.subscribed,
    })
}
