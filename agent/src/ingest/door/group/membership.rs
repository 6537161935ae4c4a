//! One group of consumers: who is in it, and who reads what; pure, time is given.
//!
//! ```text
//!          join                 all have joined          the leader's plan
//! Empty ────────> Joining ────────────────────> Syncing ───────────────> Stable
//!   ^                ^  every member must join again │                     │
//!   └ the last left  └───────── somebody joins, leaves, is silent ─────────┘
//! ```
//! The door does not assign partitions: it picks a protocol that all members know, hands the members'
//! wishes to the leader, and the leader's plan to the members. What is in either is their affair.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Members that start together join one generation, not one each.
const FIRST_JOIN_DELAY: Duration = Duration::from_millis(100);

/// What a member says when it joins.
#[derive(Clone, Debug)]
pub(in super::super) struct Wish {
    /// Empty if it is new.
    pub member: String,
    pub instance: Option<String>,
    pub client: String,
    pub host: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocol_type: String,
    /// In the order of preference, each with what the member wants to be known.
    pub protocols: Vec<(String, Bytes)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Joined {
    pub generation: i32,
    pub protocol: String,
    pub leader: String,
    pub member: String,
    /// For the leader: everybody with instance and wish.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

pub(in super::super) type JoinAnswer = Result<Joined, ResponseError>;
pub(in super::super) type SyncAnswer = Result<Bytes, ResponseError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum State {
    Empty,
    Joining { ready: Instant, until: Instant },
    Syncing { until: Instant },
    Stable,
}

impl State {
    /// Kafka's word.
    pub const fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Joining { .. } => "PreparingRebalance",
            State::Syncing { .. } => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

pub(in super::super) struct Member {
    pub wish: Wish,
    pub assignment: Bytes,
    seen: Instant,
    joining: Option<oneshot::Sender<JoinAnswer>>,
    syncing: Option<oneshot::Sender<SyncAnswer>>,
}

impl Member {
    fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.wish.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Whether it waits for an answer that it can still get.
    fn waits(&self) -> bool {
        self.joining.as_ref().is_some_and(|reply| !reply.is_closed())
            || self.syncing.as_ref().is_some_and(|reply| !reply.is_closed())
    }
}

pub(in super::super) struct Group {
    pub state: State,
    pub protocol_type: String,
    pub protocol: String,
    generation: i32,
    leader: String,
    pub members: BTreeMap<String, Member>,
}

impl Default for Group {
    fn default() -> Self {
        Group {
            state: State::Empty,
            protocol_type: String::new(),
            protocol: String::new(),
            generation: 0,
            leader: String::new(),
            members: BTreeMap::new(),
        }
    }
}

impl Group {
    /// Bytes that the members' wishes and assignments take.
    pub fn bytes(&self) -> usize {
        let wish =
            |wish: &Wish| wish.protocols.iter().map(|(name, bytes)| name.len() + bytes.len()).sum::<usize>();
        self.members.values().map(|member| wish(&member.wish) + member.assignment.len()).sum()
    }

    /// A member joins, or joins again; the answer comes with the next generation.
    pub fn join(&mut self, mut wish: Wish, now: Instant, reply: oneshot::Sender<JoinAnswer>) {
        if let Some(error) = self.refuses(&wish) {
            let _ = reply.send(Err(error));
            return;
        }
        let mut changed = !self.members.contains_key(&wish.member);
        if wish.member.is_empty() {
            wish.member = format!("{}-{}", wish.client, Uuid::new_v4());
            let instance = wish.instance.clone();
            let former = instance.and_then(|instance| self.of_instance(&instance));
            if let Some(former) = former.and_then(|id| self.members.remove(&id)) {
                refuse(former, ResponseError::FencedInstanceId);
            }
        }
        if self.members.is_empty() {
            self.protocol_type.clone_from(&wish.protocol_type);
        }
        let id = wish.member.clone();
        let assignment = match self.members.remove(&id) {
            Some(former) => {
                changed |= former.wish.protocols != wish.protocols;
                former.assignment
            }
            None => Bytes::new(),
        };
        let rejoins = self.state == State::Stable && !changed && id != self.leader;
        let member = Member { wish, assignment, seen: now, joining: Some(reply), syncing: None };
        self.members.insert(id.clone(), member);
        if rejoins {
            // Its answer was lost: the present generation goes on.
            let joined = self.joined(&id);
            if let Some(reply) = self.members.get_mut(&id).and_then(|member| member.joining.take()) {
                let _ = reply.send(Ok(joined));
            }
        } else {
            self.rebalance(now);
        }
        self.proceed(now);
    }

    fn of_instance(&self, instance: &str) -> Option<String> {
        let same = |member: &&Member| member.wish.instance.as_deref() == Some(instance);
        self.members.values().find(same).map(|member| member.wish.member.clone())
    }

    fn refuses(&self, wish: &Wish) -> Option<ResponseError> {
        if !wish.member.is_empty() && !self.members.contains_key(&wish.member) {
            return Some(ResponseError::UnknownMemberId);
        }
        let others = || self.members.values().filter(|member| member.wish.member != wish.member);
        let known =
            |name: &str| others().all(|member| member.wish.protocols.iter().any(|(known, _)| known == name));
        let same_type = others().next().is_none() || self.protocol_type == wish.protocol_type;
        let common = wish.protocols.iter().any(|(name, _)| known(name));
        (!same_type || !common || wish.protocol_type.is_empty())
            .then_some(ResponseError::InconsistentGroupProtocol)
    }

    fn rebalance(&mut self, now: Instant) {
        if matches!(self.state, State::Joining { .. }) {
            return;
        }
        for member in self.members.values_mut() {
            if let Some(reply) = member.syncing.take() {
                let _ = reply.send(Err(ResponseError::RebalanceInProgress));
            }
        }
        let first = self.state == State::Empty;
        let ready = if first { now + FIRST_JOIN_DELAY } else { now };
        self.state = State::Joining { ready, until: now + self.patience() };
    }

    /// The longest that any member may take to join again.
    fn patience(&self) -> Duration {
        self.members.values().map(|member| member.wish.rebalance_timeout).max().unwrap_or_default()
    }

    /// Lets time pass: members that were silent too long go, and what is complete goes on.
    pub fn proceed(&mut self, now: Instant) {
        let silent = |member: &Member| {
            !member.waits() && now.saturating_duration_since(member.seen) > member.wish.session_timeout
        };
        let gone: Vec<String> =
            self.members.values().filter(|m| silent(m)).map(|m| m.wish.member.clone()).collect();
        if !gone.is_empty() {
            gone.iter().for_each(|id| drop(self.members.remove(id)));
            self.somebody_left(now);
        }
        match self.state {
            State::Joining { ready, until } => {
                let all = self.members.values().all(|member| member.joining.is_some());
                if now >= until || (all && now >= ready) {
                    self.complete(now);
                }
            }
            State::Syncing { until } if now >= until => self.rebalance(now),
            _ => {}
        }
    }

    fn somebody_left(&mut self, now: Instant) {
        if self.members.is_empty() {
            self.state = State::Empty;
        } else if self.state != State::Empty {
            self.rebalance(now);
        }
    }

    /// Whoever has joined is the next generation.
    fn complete(&mut self, now: Instant) {
        self.members.retain(|_, member| member.joining.as_ref().is_some_and(|reply| !reply.is_closed()));
        self.generation = self.generation.wrapping_add(1).max(1);
        let Some(first) = self.members.keys().next().cloned() else {
            self.state = State::Empty;
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first;
        }
        self.protocol = self.choice();
        self.state = State::Syncing { until: now + self.patience() };
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let joined = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.seen = now;
                member.assignment = Bytes::new();
                if let Some(reply) = member.joining.take() {
                    let _ = reply.send(Ok(joined));
                }
            }
        }
    }

    /// The first of the leader's protocols that everybody knows; there is one, or somebody was refused.
    fn choice(&self) -> String {
        let known = |name: &str| {
            self.members.values().all(|member| member.wish.protocols.iter().any(|(known, _)| known == name))
        };
        let leader = self.members.get(&self.leader);
        let wishes = leader.map(|leader| leader.wish.protocols.as_slice()).unwrap_or_default();
        wishes.iter().map(|(name, _)| name).find(|name| known(name)).cloned().unwrap_or_default()
    }

    fn joined(&self, id: &str) -> Joined {
        let members = if id == self.leader {
            let one = |member: &Member| {
                (member.wish.member.clone(), member.wish.instance.clone(), member.metadata(&self.protocol))
            };
            self.members.values().map(one).collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member: id.to_owned(),
            members,
        }
    }

    /// A member asks for its part; the leader brings everybody's.
    pub fn sync(
        &mut self,
        id: &str,
        generation: i32,
        plan: Vec<(String, Bytes)>,
        now: Instant,
        reply: oneshot::Sender<SyncAnswer>,
    ) {
        let answer = match (self.check(id, generation), self.state) {
            (Err(error), _) => Err(error),
            (Ok(()), State::Stable) => Ok(self.assignment(id)),
            (Ok(()), State::Syncing { .. }) => {
                if let Some(member) = self.members.get_mut(id) {
                    (member.seen, member.syncing) = (now, Some(reply));
                }
                if id == self.leader {
                    self.assign(plan, now);
                }
                return;
            }
            (Ok(()), _) => Err(ResponseError::RebalanceInProgress),
        };
        let _ = reply.send(answer);
    }

    fn assign(&mut self, plan: Vec<(String, Bytes)>, now: Instant) {
        for (id, part) in plan {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = part;
            }
        }
        self.state = State::Stable;
        for member in self.members.values_mut() {
            if let Some(reply) = member.syncing.take() {
                member.seen = now;
                let _ = reply.send(Ok(member.assignment.clone()));
            }
        }
    }

    fn assignment(&self, id: &str) -> Bytes {
        self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default()
    }

    /// Whether this is a member of the present generation.
    fn check(&self, id: &str, generation: i32) -> Result<(), ResponseError> {
        match self.members.contains_key(id) {
            false => Err(ResponseError::UnknownMemberId),
            true if generation != self.generation => Err(ResponseError::IllegalGeneration),
            true => Ok(()),
        }
    }

    pub fn heartbeat(&mut self, id: &str, generation: i32, now: Instant) -> Result<(), ResponseError> {
        self.check(id, generation)?;
        if let Some(member) = self.members.get_mut(id) {
            member.seen = now;
        }
        match self.state {
            State::Joining { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// By its id, or by the name of its instance.
    pub fn leave(&mut self, id: &str, instance: Option<&str>, now: Instant) -> Result<(), ResponseError> {
        let named = instance.filter(|_| id.is_empty()).and_then(|instance| self.of_instance(instance));
        let member =
            self.members.remove(named.as_deref().unwrap_or(id)).ok_or(ResponseError::UnknownMemberId)?;
        refuse(member, ResponseError::UnknownMemberId);
        self.somebody_left(now);
        self.proceed(now);
        Ok(())
    }

    /// Whether offsets may be committed by this member; without members, by anybody who claims none.
    pub fn may_commit(&mut self, id: &str, generation: i32, now: Instant) -> Result<(), ResponseError> {
        if generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.check(id, generation)?;
        if let Some(member) = self.members.get_mut(id) {
            member.seen = now;
        }
        match self.state {
            State::Syncing { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }
}

fn refuse(member: Member, error: ResponseError) {
    if let Some(reply) = member.joining {
        let _ = reply.send(Err(error));
    }
    if let Some(reply) = member.syncing {
        let _ = reply.send(Err(error));
    }
}

#[cfg(test)]
mod tests;
