//! The error of a call that no target answered: the last one, with what came before it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use infer_core::{InferenceError, ModelRunner as _, Origin};

use crate::course::{Course, SoFar};
use crate::target::{Refusal, Target};
use crate::work::Work;

/// Nobody is left to be asked.
pub(crate) fn nobody<W: Work>(course: &mut Course<'_, W>) -> InferenceError {
    if let Some(mut error) = course.so_far.last.take() {
        course.so_far.tried.pop(); // that is this error
        if let Some(at) = error.origin_mut()
            && at.gave_up.is_none()
        {
            let SoFar { cooling, refused, denial, .. } = &course.so_far;
            at.gave_up = match (cooling, refused, denial) {
                (Some(wait), ..) => Some(format!("the other targets cool down for {wait:.1?}")),
                (None, Some(error), _) => Some(format!("no other target is allowed now: {error}")),
                (None, None, Some(reason)) => Some(format!("no other target is allowed: {reason}")),
                (None, None, None) => None,
            };
        }
        return last(course, error);
    }
    let error = refused(course);
    last(course, error)
}

/// Why nobody was asked at all.
fn refused<W: Work>(course: &mut Course<'_, W>) -> InferenceError {
    let sooner = |error: &InferenceError| {
        course.so_far.cooling.is_none_or(|wait| error.retry_after().is_some_and(|other| other < wait))
    };
    if course.so_far.refused.as_deref().is_some_and(sooner)
        && let Some(error) = course.so_far.refused.take()
    {
        return *error;
    }
    let (route, ask, passed) = (&course.route, &course.ask, &course.so_far.passed);
    let at = |message: String| {
        let mut at = Origin::default();
        at.message = Some(Origin::excerpt(&message));
        Box::new(at)
    };
    if let Some(wait) = course.so_far.cooling {
        let mut fitting = route.targets().filter(|target| target.refusal(ask, passed).is_none());
        if let (Some(only), None) = (fitting.next(), fitting.next()) {
            return cools_down(only, wait);
        }
        let message = format!("every target of route {:?} cools down", route.name);
        return InferenceError::CircuitOpen { at: at(message), retry_after: wait };
    }
    if let Some(reason) = &course.so_far.denial {
        return InferenceError::BudgetExhausted { at: at(reason.clone()) };
    }
    if let Some(pin) = &ask.pin
        && !route.refuses(ask, passed, |refusal| refusal != Refusal::NotPinned)
    {
        let mut names: Vec<&str> = route.targets().map(|target| &**target.provider.name()).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(8);
        let names = names.join(", ");
        return InferenceError::invalid_request(Origin::excerpt(&format!(
            "the call is pinned to {pin:?}, and route {:?} has targets only at {names}",
            route.name
        )));
    }
    let message = format!("no target of route {:?} takes {ask}: {}", route.name, route.reasons(ask, passed));
    if route.refuses(ask, passed, |refusal| matches!(refusal, Refusal::TooLong(_))) {
        return InferenceError::ContextLengthExceeded { at: at(message) };
    }
    InferenceError::InvalidRequest { at: at(message) }
}

/// The one that could be asked cools down: what it said last is a better answer than that nobody is left.
fn cools_down(target: &Target, wait: Duration) -> InferenceError {
    let mut at = Box::<Origin>::default();
    at.provider = Some(Arc::clone(target.provider.name()));
    at.message = Some(format!("the only target, {}, cools down", target.provider.name()));
    let answers =
        target.provider.runner().controls().and_then(|controls| controls.breakers().into_iter().next());
    let last = answers.filter(|breaker| breaker.next_try.is_some()).and_then(|breaker| breaker.last_failure);
    if let Some(last) = last {
        last.tell(&mut at);
    }
    InferenceError::CircuitOpen { at, retry_after: wait }
}

/// The time is up.
pub(crate) fn late<W: Work>(course: &Course<'_, W>, limit: Duration) -> InferenceError {
    last(course, InferenceError::DeadlineExceeded { at: Box::default(), limit })
}

/// `error` as the call's, with the targets tried before it.
pub(crate) fn last<W: Work>(course: &Course<'_, W>, mut error: InferenceError) -> InferenceError {
    let tried = &course.so_far.tried;
    if let InferenceError::Config { what } = &mut error {
        for (nth, tried) in tried.iter().take(8).enumerate() {
            let _ = write!(what, "{}{tried}", if nth == 0 { "; tried before: " } else { ", " });
        }
    }
    if let Some(at) = error.origin_mut() {
        at.elapsed = course.begun.elapsed();
        if at.request_id.is_none() {
            at.request_id = Some(course.work.request_id.clone());
        }
        // A target may be a router itself: what it tried stays behind what was tried before it.
        at.tried.splice(0..0, tried.iter().cloned());
    }
    error
}
