//! The Messages wire format, seen from a client.
