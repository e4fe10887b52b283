//! Microsoft Entra ID tokens as credentials of a session.
#![doc = include_str!("../README.md")]

mod answer;
mod chain;
mod cli;
mod client_secret;
mod cloud;
mod config;
mod exchange;
mod jwt;
mod login;
mod managed;
mod names;
mod refusal;
mod surroundings;
mod workload;

pub use cloud::{Audience, Cloud, FOUNDRY_SCOPE};
pub use config::EntraConfig;
pub use surroundings::Surroundings;
