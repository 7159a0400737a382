//! Where the hosted product differs from what its documents say, or its clients from what one would think: traps, each
//! with a test of that number. Three concern clients alone and have none: 20 (stray files in a package), 21 (how its
//! versions sort) and 22 (what it does to other users of its HTTP library); `gatepost/tests/npm/client.mjs` meets them
//! by running both versions.

mod keys;
mod requests;
mod responses;
mod webhooks;
