//! One request: read its head, decode its body, and begin the answer.

use super::access::limit::Bucket;
use super::access::sasl::{self, Login};
use super::answer::{Asked, Pending};
use super::api::{self, Api, Head, Unserved};
use super::door::Door;
use super::wire::{Fields, Malformed};
use super::{
    add_partitions, coordinator, create_topics, delete_topics, describe_configs, end_transaction, fetch,
    group, list_offsets, metadata, produce, producer_id, versions,
};
use crate::metrics;
use bytes::BytesMut;
use kafka_protocol::messages::ApiKey;
use shared::Error;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Why a connection is closed by us.
pub(super) enum Close {
    /// The client went away, or there is nothing more to say.
    Quietly,
    /// The client asked for something that is not offered, or broke the protocol.
    Refused(String),
    Failed(Error),
}

impl From<Error> for Close {
    fn from(error: Error) -> Self {
        Close::Failed(error)
    }
}

impl From<std::io::Error> for Close {
    fn from(_: std::io::Error) -> Self {
        Close::Quietly
    }
}

/// What is known of a client.
pub(super) struct Session {
    peer: IpAddr,
    /// Its library, if it said so.
    software: String,
    login: Login,
}

impl Session {
    pub fn new(peer: IpAddr) -> Session {
        Session { peer, software: String::new(), login: Login::default() }
    }

    /// Whether it may ask for anything.
    pub fn may_ask(&self, door: &Door) -> bool {
        door.users.is_empty() || self.login.is_in()
    }

    /// Whether it was refused, and there is nothing more to say.
    pub fn is_over(&self) -> bool {
        self.login.is_refused()
    }

    /// Whether what comes next has no head.
    pub fn is_bare(&self) -> bool {
        self.login.is_bare()
    }

    /// What it may send and fetch: the user, or the address of one without a name.
    pub fn bucket(&self, door: &Door) -> Arc<Bucket> {
        let common = door.config.bytes_per_second;
        match self.login.user() {
            Some(user) => {
                let limit = door.users.bytes_per_second(user).unwrap_or(common);
                door.buckets.of(&format!("user {user}"), limit)
            }
            None => door.buckets.of(&format!("address {}", self.peer), common),
        }
    }
}

/// What a client may ask before it has logged in.
const BEFORE_LOGIN: [ApiKey; 3] = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];

type Begun = std::result::Result<Pending, Close>;

/// Decodes a request and begins to answer it.
pub(super) async fn answer(
    door: &Arc<Door>,
    session: &mut Session,
    frame: BytesMut,
    memory: OwnedSemaphorePermit,
) -> Begun {
    if session.is_bare() {
        let Session { peer, login, .. } = session;
        return Ok(login.bare_message(door, *peer, &frame));
    }
    let mut fields = Fields::new(&frame);
    let (api, head) = match api::read_head(&mut fields) {
        Ok(read) => read,
        Err(unserved) => return Err(Close::Refused(explain(&unserved, &session.software))),
    };
    metrics::DOOR_REQUESTS.with_label_values(&[api.name]).inc();
    let asked = Asked { key: api.key, version: head.version, correlation: head.correlation };
    let broken = |what| Close::Refused(explain_malformed(&head, what, &session.software));
    if !session.may_ask(door) && !BEFORE_LOGIN.contains(&api.key) {
        let why = format!(
            "{} before a login: set the client's security.protocol to SASL_PLAINTEXT or SASL_SSL (client {:?})",
            api.name, head.client
        );
        return Err(Close::Refused(why));
    }
    match api.key {
        key if BEFORE_LOGIN.contains(&key) => {
            let begun = greeting(door, session, &mut fields, &frame, asked);
            begun.map_err(|unread| unread.close(&head, session))
        }
        ApiKey::Produce => {
            let request = produce::decode(&mut fields, head.version).map_err(broken)?;
            let mut plan = produce::plan(door, &request, &frame);
            let appends = std::mem::take(&mut plan.appends);
            drop(request);
            let outcomes = match appends.is_empty() {
                true => None,
                false => Some(door.log.append(frame, appends, memory).await?),
            };
            Ok(plan.answer(asked, outcomes, door.log.is_pressed()))
        }
        ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::TxnOffsetCommit
        | ApiKey::EndTxn
        | ApiKey::InitProducerId => {
            let begun = transaction(door, api, &head, &mut fields, asked).await;
            begun.map_err(|unread| unread.close(&head, session))
        }
        _ if group::APIS.contains(&api.key) => {
            let begun = of_group(door, session.peer, &head, &mut fields, asked).await;
            begun.map_err(|unread| unread.close(&head, session))
        }
        _ => {
            let begun = read(door, api, &head, &mut fields, asked).await;
            begun.map_err(|unread| unread.close(&head, session))
        }
    }
}

/// Why no answer was begun.
enum Unread {
    Malformed(Malformed),
    Failed(Error),
}

impl Unread {
    fn close(self, head: &Head<'_>, session: &Session) -> Close {
        match self {
            Unread::Malformed(what) => Close::Refused(explain_malformed(head, what, &session.software)),
            Unread::Failed(error) => Close::Failed(error),
        }
    }
}

impl From<Malformed> for Unread {
    fn from(malformed: Malformed) -> Self {
        Unread::Malformed(malformed)
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Unread::Failed(error)
    }
}

/// Requests of clients that may not have logged in yet.
fn greeting(
    door: &Door,
    session: &mut Session,
    fields: &mut Fields<'_>,
    frame: &[u8],
    asked: Asked,
) -> std::result::Result<Pending, Unread> {
    Ok(match asked.key {
        ApiKey::SaslHandshake => {
            let request = sasl::decode_handshake(fields)?;
            session.login.handshake(door, request.mechanism, asked)
        }
        ApiKey::SaslAuthenticate => {
            let request = sasl::decode_authenticate(fields)?;
            let message = frame.get(request.message).unwrap_or_default();
            session.login.authenticate(door, session.peer, message, asked)
        }
        _ => {
            let request = versions::decode(fields, asked.version)?;
            if let Some((library, version)) = request.software {
                session.software = format!("{library} {version}");
            }
            versions::answer(asked)
        }
    })
}

/// Requests about topics and what is in them.
async fn read(
    door: &Arc<Door>,
    api: &Api,
    head: &Head<'_>,
    fields: &mut Fields<'_>,
    asked: Asked,
) -> std::result::Result<Pending, Unread> {
    let version = head.version;
    Ok(match api.key {
        ApiKey::Fetch => fetch::answer(Arc::clone(door), fetch::decode(fields, version)?, asked),
        ApiKey::ListOffsets => {
            list_offsets::answer(Arc::clone(&door.log), list_offsets::decode(fields, version)?, asked)
        }
        ApiKey::FindCoordinator => coordinator::answer(door, &coordinator::decode(fields, version)?, asked),
        ApiKey::CreateTopics => create_topics::answer(door, &create_topics::decode(fields)?, asked).await?,
        ApiKey::DeleteTopics => {
            delete_topics::answer(door, &delete_topics::decode(fields, version)?, asked).await?
        }
        ApiKey::DescribeConfigs => {
            describe_configs::answer(door, &describe_configs::decode(fields, version)?, asked)
        }
        _ => metadata::answer(door, metadata::decode(fields, version)?, asked).await?,
    })
}

/// Requests of producers that are idempotent or have transactions.
async fn transaction(
    door: &Arc<Door>,
    api: &Api,
    head: &Head<'_>,
    fields: &mut Fields<'_>,
    asked: Asked,
) -> std::result::Result<Pending, Unread> {
    let version = head.version;
    Ok(match api.key {
        ApiKey::InitProducerId => {
            producer_id::answer(door, &producer_id::decode(fields, version)?, asked).await?
        }
        ApiKey::AddPartitionsToTxn => {
            add_partitions::answer(door, &add_partitions::decode(fields)?, asked).await?
        }
        ApiKey::AddOffsetsToTxn => {
            group::add_offsets(door, &group::decode_add_offsets(fields)?, asked).await?
        }
        ApiKey::TxnOffsetCommit => {
            let request = group::decode_transaction_commit(fields, version)?;
            door.groups.commit_in_transaction(door, &request, asked).await?
        }
        _ => end_transaction::answer(door, &end_transaction::decode(fields)?, asked).await?,
    })
}

/// Requests of groups and about them.
async fn of_group(
    door: &Arc<Door>,
    peer: IpAddr,
    head: &Head<'_>,
    fields: &mut Fields<'_>,
    asked: Asked,
) -> std::result::Result<Pending, Unread> {
    let (version, groups) = (head.version, &door.groups);
    Ok(match asked.key {
        ApiKey::JoinGroup => groups.join(group::decode_join(fields, version)?, head.client, peer, asked),
        ApiKey::SyncGroup => groups.sync(group::decode_sync(fields, version)?, asked),
        ApiKey::Heartbeat => groups.heartbeat(&group::decode_heartbeat(fields, version)?, asked),
        ApiKey::LeaveGroup => groups.leave(&group::decode_leave(fields, version)?, asked),
        ApiKey::OffsetCommit => groups.commit(door, &group::decode_commit(fields, version)?, asked).await?,
        ApiKey::OffsetFetch => groups.fetch(group::decode_fetch(fields, version)?, asked),
        ApiKey::ListGroups => groups.list(&group::decode_list(fields, version)?, asked),
        ApiKey::DescribeGroups => groups.describe(group::decode_describe(fields, version)?, asked),
        _ => groups.delete(group::decode_delete(fields)?, asked),
    })
}

fn explain(unserved: &Unserved<'_>, software: &str) -> String {
    match unserved {
        Unserved::Malformed(Malformed(what)) => format!("no Kafka request: cannot read {what} in its head"),
        Unserved::Unsupported(head) => {
            let name =
                ApiKey::try_from(head.key).map_or("an unknown request".to_owned(), |k| format!("{k:?}"));
            format!(
                "{name} ({}) version {} is not offered (client {:?}, {software})",
                head.key, head.version, head.client
            )
        }
    }
}

fn explain_malformed(head: &Head<'_>, Malformed(what): Malformed, software: &str) -> String {
    format!(
        "malformed request {} version {}: cannot read {what} (client {:?}, {software})",
        head.key, head.version, head.client
    )
}
