//! A group's life with time given by hand.

use super::*;
use ResponseError::{IllegalGeneration, InconsistentGroupProtocol, RebalanceInProgress, UnknownMemberId};

fn wish(member: &str, protocols: &[&str]) -> Wish {
    Wish {
        member: member.to_owned(),
        instance: None,
        client: "c".to_owned(),
        host: "h".to_owned(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".to_owned(),
        protocols: protocols
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::from(format!("wish {name}"))))
            .collect(),
    }
}

struct Bench {
    group: Group,
    now: Instant,
}

type Waiting<T> = oneshot::Receiver<T>;

impl Bench {
    fn new() -> Bench {
        Bench { group: Group::default(), now: Instant::now() }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.group.proceed(self.now);
    }

    fn join(&mut self, wish: Wish) -> Waiting<JoinAnswer> {
        let (reply, answer) = oneshot::channel();
        self.group.join(wish, self.now, reply);
        answer
    }

    fn sync(&mut self, who: &Joined, plan: &[(&str, &str)]) -> Waiting<SyncAnswer> {
        let (reply, answer) = oneshot::channel();
        let plan =
            plan.iter().map(|(id, part)| ((*id).to_owned(), Bytes::from((*part).to_owned()))).collect();
        self.group.sync(&who.member, who.generation, plan, self.now, reply);
        answer
    }

    fn beat(&mut self, who: &Joined) -> Result<(), ResponseError> {
        self.group.heartbeat(&who.member, who.generation, self.now)
    }

    /// One member alone, with its part.
    fn alone(&mut self) -> Joined {
        let answer = self.join(wish("", &["range"]));
        self.pass(100);
        let joined = now(answer).expect("joined");
        assert_eq!(now(self.sync(&joined, &[(&joined.member, "all")])), Ok(Bytes::from("all")));
        joined
    }
}

/// The answer, which must be there.
fn now<T>(mut answer: Waiting<T>) -> T {
    answer.try_recv().expect("is answered")
}

fn is_open<T>(answer: &mut Waiting<T>) -> bool {
    matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

#[test]
fn two_that_start_together_share_one_generation() {
    let mut bench = Bench::new();
    let one = bench.join(wish("", &["range", "sticky"]));
    bench.pass(50);
    let two = bench.join(wish("", &["sticky"]));
    bench.pass(50);
    let (one, two) = (now(one).expect("joined"), now(two).expect("joined"));
    assert_eq!((one.generation, two.generation, one.protocol.as_str()), (1, 1, "sticky"));
    assert_eq!(one.leader, two.leader);
    let (leader, other) = if one.member == one.leader { (one, two) } else { (two, one) };
    assert_eq!((leader.members.len(), other.members.len()), (2, 0));
    assert_eq!(leader.members[0].2, Bytes::from("wish sticky"));
    let mut waits = bench.sync(&other, &[]);
    assert!(is_open(&mut waits), "the plan comes with the leader");
    let plan = [(leader.member.as_str(), "a"), (other.member.as_str(), "b")];
    assert_eq!(now(bench.sync(&leader, &plan)), Ok(Bytes::from("a")));
    assert_eq!(now(waits), Ok(Bytes::from("b")));
    assert_eq!(now(bench.sync(&other, &[])), Ok(Bytes::from("b")), "asked again");
    assert_eq!((bench.beat(&leader), bench.beat(&other)), (Ok(()), Ok(())));
}

#[test]
fn a_newcomer_makes_all_join_again() {
    let mut bench = Bench::new();
    let old = bench.alone();
    let mut newcomer = bench.join(wish("", &["range"]));
    assert!(is_open(&mut newcomer));
    assert_eq!(bench.beat(&old), Err(RebalanceInProgress));
    let again = bench.join(wish(&old.member, &["range"]));
    let (again, newcomer) = (now(again).expect("joined"), now(newcomer).expect("joined"));
    assert_eq!((again.generation, again.leader.as_str()), (2, old.member.as_str()), "the leader stays");
    assert_eq!(bench.beat(&old), Err(IllegalGeneration));
    assert_eq!(bench.group.may_commit(&newcomer.member, 2, bench.now), Err(RebalanceInProgress));
    assert_eq!(bench.group.leave(&old.member, None, bench.now), Ok(()));
    let stays = bench.join(wish(&newcomer.member, &["range"]));
    assert_eq!(now(stays).map(|joined| (joined.generation, joined.members.len())), Ok((3, 1)));
}

#[test]
fn who_is_silent_is_left_behind() {
    let mut bench = Bench::new();
    let old = bench.alone();
    bench.pass(9_000);
    assert_eq!(bench.beat(&old), Ok(()));
    bench.pass(9_000);
    assert_eq!(bench.group.state, State::Stable);
    bench.pass(1_100);
    assert_eq!((bench.group.state, bench.beat(&old)), (State::Empty, Err(UnknownMemberId)));

    let mut bench = Bench::new();
    let old = bench.alone();
    let mut newcomer = bench.join(wish("", &["range"]));
    for _ in 0..11 {
        assert!(is_open(&mut newcomer), "it waits for the other");
        assert_ne!(bench.beat(&old), Ok(()), "which lives, but does not join");
        bench.pass(5_500);
    }
    let joined = now(newcomer).expect("the other was given its time");
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
}

#[test]
fn strangers_and_misfits_are_refused() {
    let mut bench = Bench::new();
    let old = bench.alone();
    assert_eq!(now(bench.join(wish("nobody", &["range"]))), Err(UnknownMemberId));
    assert_eq!(now(bench.join(wish("", &["other"]))), Err(InconsistentGroupProtocol));
    let connect = Wish { protocol_type: "connect".to_owned(), ..wish("", &["range"]) };
    assert_eq!(now(bench.join(connect)), Err(InconsistentGroupProtocol));
    let stranger = Joined { member: "nobody".to_owned(), ..old.clone() };
    assert_eq!(bench.beat(&stranger), Err(UnknownMemberId));
    assert_eq!(now(bench.sync(&stranger, &[])), Err(UnknownMemberId));
    assert_eq!(bench.group.may_commit("", -1, bench.now), Err(UnknownMemberId), "there are members");
    assert_eq!(bench.beat(&old), Ok(()), "and the group goes on");
}

#[test]
fn an_instance_that_comes_again_takes_its_former_place() {
    let mut bench = Bench::new();
    let named = || Wish { instance: Some("one".to_owned()), ..wish("", &["range"]) };
    let first = bench.join(named());
    bench.pass(100);
    let first = now(first).expect("joined");
    let second = now(bench.join(named())).expect("joined at once: nobody else is there");
    assert_eq!(bench.group.members.len(), 1);
    assert_ne!(first.member, second.member);
    assert_eq!(bench.group.leave("", Some("one"), bench.now), Ok(()));
    assert_eq!(bench.group.state, State::Empty);
}

/// The connection of one that waits is gone: it is not in the next generation.
#[test]
fn who_does_not_wait_for_the_answer_is_not_there() {
    let mut bench = Bench::new();
    drop(bench.join(wish("", &["range"])));
    let stays = bench.join(wish("", &["range"]));
    bench.pass(100);
    assert_eq!(now(stays).map(|joined| joined.members.len()), Ok(1));
}
