//! The log as producers and readers see it.
