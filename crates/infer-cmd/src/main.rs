//! The `infer` command.

fn main() {}
