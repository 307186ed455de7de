//! What pushes, and how it is answered: as a Pushgateway would, and better where it harms.

mod clients;
mod conformance;
mod expiry;
mod groups;
mod kill;
mod real;
mod rivals;
mod sums;
mod surface;
