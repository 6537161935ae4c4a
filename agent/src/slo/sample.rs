//! Changed entities that are followed until the centre has them: a few at a time stand for all. Pure.

use crate::model::feature::ViewId;
use std::collections::VecDeque;

/// Followed at once, by contract. When all of them are late, every further change is counted as late without
/// being followed.
const MOST: usize = 64;

/// An entity whose new values wait to be brought to the centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub view: ViewId,
    pub entity: Vec<u8>,
    pub committed_us: i64,
}

#[derive(Debug, Default)]
pub struct Samples(VecDeque<Followed>);

#[derive(Debug)]
struct Followed {
    sample: Sample,
    /// It is late, and counted, though it still waits.
    counted: bool,
}

impl Samples {
    /// Follows a change, if there is room and its entity is not followed already.
    pub fn add(&mut self, sample: Sample) {
        let known = |followed: &Followed| followed.sample.entity == sample.entity;
        if self.0.len() < MOST && !self.0.iter().any(known) {
            self.0.push_back(Followed { sample, counted: false });
        }
    }

    /// Whether nothing arrives in time any more: what is followed longest is late.
    pub fn stalled(&self) -> bool {
        self.0.front().is_some_and(|followed| followed.counted)
    }

    pub fn all(&self) -> Vec<Sample> {
        self.0.iter().map(|followed| followed.sample.clone()).collect()
    }

    /// Gives how long it took for those that arrived and those that are late by now, each once.
    pub fn settle(&mut self, asked: &[Sample], still: &[Sample], within_us: i64, now_us: i64) -> Vec<i64> {
        let among = |list: &[Sample], sample: &Sample| {
            list.iter().any(|one| one.view == sample.view && one.entity == sample.entity)
        };
        let mut counted = Vec::new();
        self.0.retain_mut(|Followed { sample, counted: already }| {
            let took_us = now_us.saturating_sub(sample.committed_us);
            let waits = !among(asked, sample) || among(still, sample);
            if !*already && (!waits || took_us > within_us) {
                counted.push(took_us);
                *already = true;
            }
            waits
        });
        counted
    }
}
