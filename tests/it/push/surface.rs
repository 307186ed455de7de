//! The rest of the surface.
