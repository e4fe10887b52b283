//! Scripted upstreams and a conformance suite for providers built on remote-core.
