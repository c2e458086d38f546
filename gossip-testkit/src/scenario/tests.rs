//! Text and back.
