//! What calls cost and how they went.
