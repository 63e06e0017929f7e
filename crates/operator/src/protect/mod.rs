//! What keeps resources, and what they stand for, from going without a word: marks on them and on their namespaces, and
//! whether the cluster asks those who would take them off.

pub(crate) mod finalizer;
pub(crate) mod guard;
pub(crate) mod namespaces;
pub(crate) mod sync_options;
