//! All behaviour tests, linked once.

mod architecture;
