//! Model names to routes, routes to targets, and from a target that fails to the next.
#![doc = include_str!("../README.md")]

mod ask;
mod check;
pub mod config;
mod course;
pub mod gate;
mod names;
mod needs;
mod policy;
mod registry;
mod relay;
mod route;
mod router;
mod shadow;
mod stream;
mod table;
mod target;
mod verdict;
mod work;

pub use ask::TokenCount;
pub use config::{PolicyConfig, RouteConfig, RouterConfig, ShadowConfig, TargetConfig};
pub use gate::{Gate, Verdict};
pub use needs::Needs;
pub use registry::{FactsOf, HintOf, ModelFacts, Provider, Registry};
pub use router::{Choice, Router, RouterBuilder, TargetState};
