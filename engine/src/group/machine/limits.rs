//! Bounds of requests, checked before anything else.

use crate::group::config::GroupConfig;
use crate::group::error::GroupError;
use crate::group::request::{JoinGroup, Request, RequestBody};
use crate::group::state::protocols_bytes;

/// Longest string of a request, in bytes. A record's string has at most 32,767 bytes, and a member id has 37 more than the client
/// id or instance id that it begins with.
const STRING_BYTES_MAX: usize = 32_767 - 37;

/// Checks a request against the limits that do not depend on its group.
pub(super) fn check(request: &Request, config: &GroupConfig) -> Result<(), GroupError> {
    let client = &request.client;
    check_strings([client.id.as_str(), client.host.as_str()])?;
    // As Kafka does for old clients, offsets and descriptions take the empty id.
    let needs_group_id = match &request.body {
        RequestBody::Join(_)
        | RequestBody::Sync(_)
        | RequestBody::Heartbeat(_)
        | RequestBody::Leave(_)
        | RequestBody::OffsetDelete(_) => true,
        RequestBody::OffsetCommit(_)
        | RequestBody::OffsetFetch(_)
        | RequestBody::DeleteGroups(_)
        | RequestBody::DescribeGroups(_)
        | RequestBody::ListGroups(_) => false,
    };
    if needs_group_id && request.body.group().is_some_and(str::is_empty) {
        return Err(GroupError::InvalidGroupId);
    }
    check_strings(request.body.group())?;
    match &request.body {
        RequestBody::Join(join) => check_join(join, config),
        RequestBody::Sync(sync) => {
            let bytes: usize = sync.assignments.iter().map(|(_, bytes)| bytes.len()).sum();
            if bytes > config.assignments_bytes_max { Err(GroupError::MessageTooLarge) } else { Ok(()) }
        }
        RequestBody::OffsetCommit(commit) => {
            check_strings(commit.topics.iter().map(|(topic, _)| topic.as_str()))
        }
        _ => Ok(()),
    }
}

fn check_join(join: &JoinGroup, config: &GroupConfig) -> Result<(), GroupError> {
    check_strings(join.instance_id.as_deref())?;
    check_strings([join.member_id.as_str(), join.protocol_type.as_str()])?;
    check_strings(join.protocols.iter().map(|protocol| protocol.name.as_str()))?;
    if !(config.min_session_timeout_ms..=config.max_session_timeout_ms).contains(&join.session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout);
    }
    if protocols_bytes(&join.protocols) > config.member_metadata_bytes_max {
        Err(GroupError::MessageTooLarge)
    } else {
        Ok(())
    }
}

fn check_strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), GroupError> {
    let is_long = texts.into_iter().any(|text| text.len() > STRING_BYTES_MAX);
    if is_long { Err(GroupError::InvalidRequest) } else { Ok(()) }
}

/// Says whether the metadata of a commit is too long for `config`, or for a record.
pub(super) fn is_metadata_too_large(metadata: Option<&str>, config: &GroupConfig) -> bool {
    metadata.is_some_and(|text| {
        text.len() > STRING_BYTES_MAX || text.encode_utf16().count() > config.offset_metadata_max_chars
    })
}
