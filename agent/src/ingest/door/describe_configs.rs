//! DescribeConfigs: the few settings of a topic that mean something here, for clients that look at them
//! before they write.

use super::answer::{Asked, Pending, code, text};
use super::door::Door;
use super::wire::{Fields, Read};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::DescribeConfigsResponse;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};

const TOPIC: i8 = 2;
/// Where a value comes from: the topic itself, or the program's configuration.
const OF_TOPIC: i8 = 1;
const STATIC: i8 = 4;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub resources: Vec<Wanted<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub kind: i8,
    pub name: &'a str,
    /// `None`: all settings.
    pub keys: Option<Vec<&'a str>>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Request<'a>> {
    let resources = fields.list(|fields| {
        let (kind, name) = (fields.i8()?, fields.string()?);
        let keys = fields.nullable_list(Fields::string)?;
        fields.tags()?;
        Ok(Wanted { kind, name, keys })
    })?;
    fields.bool()?; // whether to tell what a value overrides
    if version >= 3 {
        fields.bool()?; // whether to explain
    }
    fields.tags()?;
    Ok(Request { resources })
}

pub(super) fn answer(door: &Door, request: &Request<'_>, asked: Asked) -> Pending {
    let results = request.resources.iter().map(|wanted| one(door, wanted)).collect();
    asked.ready(&DescribeConfigsResponse::default().with_results(results))
}

fn one(door: &Door, wanted: &Wanted<'_>) -> DescribeConfigsResult {
    let named = DescribeConfigsResult::default()
        .with_resource_type(wanted.kind)
        .with_resource_name(text(wanted.name));
    let topic = match wanted.kind {
        TOPIC => door.log.topic(wanted.name),
        _ => {
            let words = "only topics have settings to be read here";
            let error = code(ResponseError::InvalidRequest);
            return named.with_error_code(error).with_error_message(Some(text(words)));
        }
    };
    let Some(topic) = topic else {
        return named.with_error_code(code(ResponseError::UnknownTopicOrPartition));
    };
    let policy = if topic.compact { "compact" } else { "delete" };
    let all = [
        ("cleanup.policy", policy.to_owned(), OF_TOPIC),
        ("max.message.bytes", door.config.max_frame_bytes.to_string(), STATIC),
        ("min.insync.replicas", "1".to_owned(), STATIC),
    ];
    let is_wanted = |name: &str| wanted.keys.as_ref().is_none_or(|keys| keys.contains(&name));
    let setting = |(name, value, source): (&str, String, i8)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(&value)))
            .with_read_only(true)
            .with_config_source(source)
    };
    named.with_configs(all.into_iter().filter(|(name, ..)| is_wanted(name)).map(setting).collect())
}
