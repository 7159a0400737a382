//! Walks every state that a model can reach.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// What is walked.
pub(super) trait Model: Clone + Eq + Hash {
    /// One step of one of the parties.
    type Step: Copy + Debug;

    /// The steps that can be taken now.
    fn steps(&self) -> Vec<Self::Step>;

    /// The state after a step; an error tells that a property is broken.
    fn apply(&self, step: Self::Step) -> Result<Self, String>;

    /// What must be so where no step is left.
    fn check_end(&self) -> Result<(), String>;
}

/// A broken property, and a shortest way to it.
#[derive(Debug)]
pub(super) struct Violation<S> {
    pub(super) property: String,
    pub(super) steps: Vec<S>,
}

/// Walks all states breadth first; answers how many there are.
pub(super) fn explore<M: Model>(start: M) -> Result<usize, Violation<M::Step>> {
    let mut predecessors: HashMap<M, Option<(M, M::Step)>> = HashMap::from([(start.clone(), None)]);
    let mut waiting = VecDeque::from([start]);
    while let Some(state) = waiting.pop_front() {
        let steps = state.steps();
        if steps.is_empty() {
            state.check_end().map_err(|property| Violation { property, steps: path_to(&predecessors, &state) })?;
        }
        for step in steps {
            let next = state.apply(step).map_err(|property| {
                let mut steps = path_to(&predecessors, &state);
                steps.push(step);
                Violation { property, steps }
            })?;
            if !predecessors.contains_key(&next) {
                predecessors.insert(next.clone(), Some((state.clone(), step)));
                waiting.push_back(next);
            }
        }
    }
    Ok(predecessors.len())
}

fn path_to<M: Model>(predecessors: &HashMap<M, Option<(M, M::Step)>>, to: &M) -> Vec<M::Step> {
    let mut steps = Vec::new();
    let mut at = to;
    while let Some(Some((before, step))) = predecessors.get(at) {
        steps.push(*step);
        at = before;
    }
    steps.reverse();
    steps
}
