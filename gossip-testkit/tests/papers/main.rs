//! The literature's claims, one test each, with the section it is from.

mod demers;
mod lifeguard;
mod swim;
