//! To come.

pub mod lab;
