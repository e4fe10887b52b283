//! The trait layer for remote language models: requests, chunks, errors, money. No I/O.
