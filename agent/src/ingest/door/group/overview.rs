//! ListGroups, DescribeGroups, DeleteGroups: what operators ask.

use super::super::answer::{Answer, Asked, Pending, code, text};
use super::super::wire::{Fields, Read};
use super::membership::{Group, Member, State};
use super::{Groups, store};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{DeleteGroupsResponse, DescribeGroupsResponse, GroupId, ListGroupsResponse};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Of consumers; a group without members is not known to have another type.
const CONSUMER: &str = "consumer";

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct List<'a> {
    /// Empty: any.
    pub states: Vec<&'a str>,
}

pub(in super::super) fn decode_list<'a>(fields: &mut Fields<'a>, version: i16) -> Read<List<'a>> {
    let states = if version >= 4 { fields.list(Fields::string)? } else { Vec::new() };
    if version >= 5 {
        fields.list(Fields::string)?; // kinds of groups, of which there is one
    }
    fields.tags()?;
    Ok(List { states })
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Named {
    pub groups: Vec<String>,
}

pub(in super::super) fn decode_describe(fields: &mut Fields<'_>, version: i16) -> Read<Named> {
    let groups = fields.list(|fields| Ok(fields.string()?.to_owned()))?;
    if version >= 3 {
        fields.bool()?; // whether to tell the operations allowed
    }
    fields.tags()?;
    Ok(Named { groups })
}

pub(in super::super) fn decode_delete(fields: &mut Fields<'_>) -> Read<Named> {
    let groups = fields.list(|fields| Ok(fields.string()?.to_owned()))?;
    fields.tags()?;
    Ok(Named { groups })
}

impl Groups {
    pub fn list(self: &Arc<Self>, request: &List<'_>, asked: Asked) -> Pending {
        let groups = Arc::clone(self);
        let states: Vec<String> = request.states.iter().map(|&state| state.to_owned()).collect();
        Box::pin(async move {
            let stored = groups.readers.run(store::names).await?;
            let empty = |name| (name, (CONSUMER.to_owned(), State::Empty.name()));
            let mut all: BTreeMap<String, (String, &str)> = stored.into_iter().map(empty).collect();
            {
                let known = groups.groups.lock().unwrap_or_else(PoisonError::into_inner);
                let one = |(name, group): (&String, &Group)| {
                    (name.clone(), (group.protocol_type.clone(), group.state.name()))
                };
                all.extend(known.iter().map(one));
            }
            let is_wanted = |state: &str| states.is_empty() || states.iter().any(|wanted| wanted == state);
            let one = |(name, (kind, state)): (String, (String, &str))| {
                let group = ListedGroup::default().with_group_id(GroupId(text(&name)));
                let group = group.with_protocol_type(text(&kind));
                let group = if asked.version >= 4 { group.with_group_state(text(state)) } else { group };
                if asked.version >= 5 { group.with_group_type(text("classic")) } else { group }
            };
            let list = all.into_iter().filter(|(_, (_, state))| is_wanted(state)).map(one).collect();
            let bytes = asked.frame(&ListGroupsResponse::default().with_groups(list))?;
            Ok(Some(Answer { bytes, memory: None }))
        })
    }

    pub fn describe(self: &Arc<Self>, request: Named, asked: Asked) -> Pending {
        let groups = Arc::clone(self);
        Box::pin(async move {
            let stored = groups.readers.run(store::names).await?;
            let one = |name: &String| {
                let known = groups.with(name, |group| described(group, asked.version));
                let absent = if stored.contains(name) { State::Empty.name() } else { "Dead" };
                let group = known.unwrap_or_else(|| DescribedGroup::default().with_group_state(text(absent)));
                group.with_group_id(GroupId(text(name)))
            };
            let list = request.groups.iter().map(one).collect();
            let bytes = asked.frame(&DescribeGroupsResponse::default().with_groups(list))?;
            Ok(Some(Answer { bytes, memory: None }))
        })
    }

    /// Only groups without members.
    pub fn delete(self: &Arc<Self>, request: Named, asked: Asked) -> Pending {
        let groups = Arc::clone(self);
        Box::pin(async move {
            let mut results = Vec::with_capacity(request.groups.len());
            for name in request.groups {
                let result = DeletableGroupResult::default().with_group_id(GroupId(text(&name)));
                let busy = groups.with(&name, |group| group.state != State::Empty).unwrap_or(false);
                let error = match busy {
                    true => code(ResponseError::NonEmptyGroup),
                    false if groups.db.write_async(move |tx| store::delete(tx, &name)).await? => 0,
                    false => code(ResponseError::GroupIdNotFound),
                };
                results.push(result.with_error_code(error));
            }
            let bytes = asked.frame(&DeleteGroupsResponse::default().with_results(results))?;
            Ok(Some(Answer { bytes, memory: None }))
        })
    }
}

fn described(group: &mut Group, version: i16) -> DescribedGroup {
    let one = |member: &Member| {
        let wish = &member.wish;
        let metadata = wish.protocols.iter().find(|(name, _)| *name == group.protocol);
        let one = DescribedGroupMember::default()
            .with_member_id(text(&wish.member))
            .with_client_id(text(&wish.client))
            .with_client_host(text(&format!("/{}", wish.host)))
            .with_member_metadata(metadata.map_or_else(Bytes::new, |(_, bytes)| bytes.clone()))
            .with_member_assignment(member.assignment.clone());
        if version >= 4 { one.with_group_instance_id(wish.instance.as_deref().map(text)) } else { one }
    };
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(&group.protocol))
        .with_members(group.members.values().map(one).collect())
}
