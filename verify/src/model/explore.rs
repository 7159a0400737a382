//! Explores every state that a model can reach.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// A state machine whose states are explored.
pub(super) trait Model: Clone + Eq + Hash {
    /// A step of one of the parties.
    type Step: Copy + Debug;

    /// Returns the steps that are possible in this state.
    fn steps(&self) -> Vec<Self::Step>;

    /// Returns the state after a step, or the violated property.
    fn apply(&self, step: Self::Step) -> Result<Self, String>;

    /// Checks the properties that must hold when no step is left.
    fn check_end(&self) -> Result<(), String>;
}

/// A violated property with a shortest path to it.
#[derive(Debug)]
pub(super) struct Violation<S> {
    pub(super) property: String,
    pub(super) steps: Vec<S>,
}

/// Explores all states breadth first. Returns their number.
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
