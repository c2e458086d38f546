//! Claims of the literature, one test each, with the section.

mod demers;
mod lifeguard;
mod swim;
