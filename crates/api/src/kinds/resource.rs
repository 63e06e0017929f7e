//! What Kubernetes is told of a kind, beside the shape of its objects.

/// A kind as a resource of an API server.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// As it stands under `kind`.
    pub kind: &'static str,
    /// As it stands in a URL.
    pub plural: &'static str,
    /// What `kubectl` takes for it as well.
    pub short_names: &'static [&'static str],
    /// Where its objects live.
    pub scope: Scope,
    /// What `kubectl explain` says first.
    pub description: &'static str,
    /// What `kubectl get` shows.
    pub columns: &'static [Column],
    /// What must agree.
    pub rules: &'static [&'static [Rule]],
}

/// Where the objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// There is one of each name.
    Cluster,
    /// There is one of each name in every namespace.
    Namespaced,
}

/// A column of `kubectl get`.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) path: &'static str,
    /// Whether it is shown with `-o wide` only.
    pub(crate) is_wide: bool,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(name: &'static str, path: &'static str) -> Self {
        Self { name, kind: "string", path, is_wide: false }
    }

    /// The same, with `-o wide` only.
    pub(crate) const fn wide(self) -> Self {
        Self { is_wide: true, ..self }
    }

    /// Whether an object is ready.
    pub(crate) const READY: Self = Self::text("Ready", ".status.conditions[?(@.type==\"Ready\")].status");
    /// Why it is, or is not.
    pub(crate) const REASON: Self = Self::text("Reason", ".status.conditions[?(@.type==\"Ready\")].reason");
    /// How long it is there.
    pub(crate) const AGE: Self = Self { kind: "date", ..Self::text("Age", ".metadata.creationTimestamp") };
}

/// Something that must agree, in the Common Expression Language of Kubernetes.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The field that `self` is, such as `spec.access[]`; the whole resource when empty.
    pub(crate) path: &'static str,
    pub(crate) expression: &'static str,
    pub(crate) message: &'static str,
}

impl Rule {
    pub(crate) const fn new(path: &'static str, expression: &'static str, message: &'static str) -> Self {
        Self { path, expression, message }
    }
}

/// A field of the spec that can't become another than its status tells, which says what was made.
macro_rules! kept {
    ($field:literal) => {
        concat!(
            "!has(self.spec.",
            $field,
            ") || has(oldSelf.spec.",
            $field,
            ") && oldSelf.spec.",
            $field,
            " == self.spec.",
            $field,
            " || !has(self.status) || !has(self.status.",
            $field,
            ") || self.status.",
            $field,
            " == self.spec.",
            $field
        )
    };
}
pub(in crate::kinds) use kept;
