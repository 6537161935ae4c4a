//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: taking part in a group.

use super::super::answer::{Answer, Asked, Pending, code, text};
use super::super::wire::{Fields, Read};
use super::membership::{JoinAnswer, Joined, Wish};
use super::{Groups, MAX_GROUP_BYTES};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, SyncGroupResponse};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// As Kafka's `group.min.session.timeout.ms` and its counterpart: less is mostly noise, more keeps dead
/// members.
const SESSION_MS: std::ops::RangeInclusive<i32> = 1_000..=1_800_000;
/// The longest a member may take to join again.
const MAX_REBALANCE_MS: i32 = 1_800_000;

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Join<'a> {
    pub group: &'a str,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub member: &'a str,
    pub instance: Option<&'a str>,
    pub protocol_type: &'a str,
    pub protocols: Vec<(&'a str, Bytes)>,
}

pub(in super::super) fn decode_join<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Join<'a>> {
    let (group, session_timeout_ms) = (fields.string()?, fields.i32()?);
    let rebalance_timeout_ms = if version >= 1 { fields.i32()? } else { session_timeout_ms };
    let member = fields.string()?;
    let instance = if version >= 5 { fields.nullable_string()? } else { None };
    let protocol_type = fields.string()?;
    let protocols = fields.list(|fields| {
        let protocol = (fields.string()?, fields.owned_bytes()?);
        fields.tags()?;
        Ok(protocol)
    })?;
    if version >= 8 {
        fields.nullable_string()?; // why it joins
    }
    fields.tags()?;
    Ok(Join { group, session_timeout_ms, rebalance_timeout_ms, member, instance, protocol_type, protocols })
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Sync<'a> {
    pub group: &'a str,
    pub generation: i32,
    pub member: &'a str,
    pub plan: Vec<(String, Bytes)>,
}

pub(in super::super) fn decode_sync<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Sync<'a>> {
    let (group, generation, member) = (fields.string()?, fields.i32()?, fields.string()?);
    if version >= 3 {
        fields.nullable_string()?; // the name of its instance
    }
    if version >= 5 {
        fields.nullable_string()?; // what it believes to be the group's protocol
        fields.nullable_string()?;
    }
    let plan = fields.list(|fields| {
        let part = (fields.string()?.to_owned(), fields.owned_bytes()?);
        fields.tags()?;
        Ok(part)
    })?;
    fields.tags()?;
    Ok(Sync { group, generation, member, plan })
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Heartbeat<'a> {
    pub group: &'a str,
    pub generation: i32,
    pub member: &'a str,
}

pub(in super::super) fn decode_heartbeat<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Heartbeat<'a>> {
    let (group, generation, member) = (fields.string()?, fields.i32()?, fields.string()?);
    if version >= 3 {
        fields.nullable_string()?; // the name of its instance
    }
    fields.tags()?;
    Ok(Heartbeat { group, generation, member })
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Leave<'a> {
    pub group: &'a str,
    /// Each by its id or by the name of its instance.
    pub members: Vec<(&'a str, Option<&'a str>)>,
}

pub(in super::super) fn decode_leave<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Leave<'a>> {
    let group = fields.string()?;
    let members = if version <= 2 {
        vec![(fields.string()?, None)]
    } else {
        fields.list(|fields| {
            let member = (fields.string()?, fields.nullable_string()?);
            if version >= 5 {
                fields.nullable_string()?; // why it leaves
            }
            fields.tags()?;
            Ok(member)
        })?
    };
    fields.tags()?;
    Ok(Leave { group, members })
}

impl Groups {
    pub fn join(&self, request: Join<'_>, client: &str, host: IpAddr, asked: Asked) -> Pending {
        let (reply, answer) = oneshot::channel();
        let protocol_type = request.protocol_type.to_owned();
        match self.wish(&request, client, host) {
            Ok(wish) => {
                let begun = self.with_new(request.group, |group| {
                    let others = group.members.len().saturating_sub(usize::from(!wish.member.is_empty()));
                    let bytes: usize = wish.protocols.iter().map(|(_, bytes)| bytes.len()).sum();
                    if others >= self.max_members as usize || group.bytes() + bytes > MAX_GROUP_BYTES {
                        let _ = reply.send(Err(ResponseError::GroupMaxSizeReached));
                    } else {
                        group.join(wish, Instant::now(), reply);
                    }
                });
                self.joined.notify_one();
                if let Err(error) = begun {
                    return asked.ready(&join_answer(Err(error), "", asked.version));
                }
            }
            Err(error) => return asked.ready(&join_answer(Err(error), "", asked.version)),
        }
        Box::pin(async move {
            let joined = answer.await.unwrap_or(Err(ResponseError::UnknownMemberId));
            let bytes = asked.frame(&join_answer(joined, &protocol_type, asked.version))?;
            Ok(Some(Answer { bytes, memory: None }))
        })
    }

    fn wish(&self, request: &Join<'_>, client: &str, host: IpAddr) -> Result<Wish, ResponseError> {
        if !SESSION_MS.contains(&request.session_timeout_ms) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let short = |text: &str| text.chars().take(255).collect::<String>();
        Ok(Wish {
            member: request.member.to_owned(),
            instance: request.instance.map(short),
            client: short(client),
            host: host.to_string(),
            session_timeout: millis(request.session_timeout_ms),
            rebalance_timeout: millis(request.rebalance_timeout_ms.min(MAX_REBALANCE_MS)),
            protocol_type: short(request.protocol_type),
            protocols: request.protocols.iter().map(|(name, bytes)| (short(name), bytes.clone())).collect(),
        })
    }

    pub fn sync(&self, request: Sync<'_>, asked: Asked) -> Pending {
        let (reply, answer) = oneshot::channel();
        let Sync { group, generation, member, plan } = request;
        let size: usize = plan.iter().map(|(id, part)| id.len() + part.len()).sum();
        let kind = self.with(group, |group| {
            if size > MAX_GROUP_BYTES {
                let _ = reply.send(Err(ResponseError::GroupMaxSizeReached));
            } else {
                group.sync(member, generation, plan, Instant::now(), reply);
            }
            (group.protocol_type.clone(), group.protocol.clone())
        });
        Box::pin(async move {
            // Without the group the sender is gone as well.
            let part = answer.await.unwrap_or(Err(ResponseError::UnknownMemberId));
            let body = match part {
                Ok(part) => SyncGroupResponse::default().with_assignment(part),
                Err(error) => SyncGroupResponse::default().with_error_code(code(error)),
            };
            let body = match kind.filter(|_| asked.version >= 5) {
                Some((kind, name)) => {
                    body.with_protocol_type(Some(text(&kind))).with_protocol_name(Some(text(&name)))
                }
                None => body,
            };
            Ok(Some(Answer { bytes: asked.frame(&body)?, memory: None }))
        })
    }

    pub fn heartbeat(&self, request: &Heartbeat<'_>, asked: Asked) -> Pending {
        let Heartbeat { group, generation, member } = request;
        let beat = self.with(group, |group| group.heartbeat(member, *generation, Instant::now()));
        let error = beat.unwrap_or(Err(ResponseError::UnknownMemberId)).err().map_or(0, code);
        asked.ready(&HeartbeatResponse::default().with_error_code(error))
    }

    pub fn leave(&self, request: &Leave<'_>, asked: Asked) -> Pending {
        let leave = |(member, instance): &(&str, Option<&str>)| {
            let left = self.with(request.group, |group| group.leave(member, *instance, Instant::now()));
            left.unwrap_or(Err(ResponseError::UnknownMemberId)).err().map_or(0, code)
        };
        let errors: Vec<i16> = request.members.iter().map(leave).collect();
        let body = LeaveGroupResponse::default();
        if asked.version <= 2 {
            return asked.ready(&body.with_error_code(errors.first().copied().unwrap_or(0)));
        }
        let one = |((member, instance), error): (&(&str, Option<&str>), i16)| {
            let named = MemberResponse::default().with_member_id(text(member));
            named.with_group_instance_id(instance.map(text)).with_error_code(error)
        };
        asked.ready(&body.with_members(request.members.iter().zip(errors).map(one).collect()))
    }
}

fn join_answer(joined: JoinAnswer, protocol_type: &str, version: i16) -> JoinGroupResponse {
    let body = JoinGroupResponse::default().with_generation_id(-1).with_protocol_name(Some(text("")));
    let Joined { generation, protocol, leader, member, members } = match joined {
        Ok(joined) => joined,
        Err(error) => return body.with_error_code(code(error)),
    };
    let one = |(id, instance, metadata): (String, Option<String>, Bytes)| {
        let member = JoinGroupResponseMember::default().with_member_id(text(&id)).with_metadata(metadata);
        if version >= 5 { member.with_group_instance_id(instance.as_deref().map(text)) } else { member }
    };
    let body = body
        .with_generation_id(generation)
        .with_protocol_name(Some(text(&protocol)))
        .with_leader(text(&leader))
        .with_member_id(text(&member))
        .with_members(members.into_iter().map(one).collect());
    if version >= 7 { body.with_protocol_type(Some(text(protocol_type))) } else { body }
}
