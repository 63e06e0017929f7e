//! What Argo CD is told of a resource that is protected: that somebody has to confirm before it is deleted or pruned.

use serde_json::Value;

/// The annotation that Argo CD reads of the object that is there (its documentation, "Sync Options").
pub(crate) const ANNOTATION: &str = "argocd.argoproj.io/sync-options";

/// What it says of a protected one.
const CONFIRM: &str = "Prune=confirm,Delete=confirm";

/// What the annotation has to become, where it is something else; null is taken away. What somebody else wrote there stays,
/// which Argo CD would put back.
pub(crate) fn change(is_protected: bool, found: Option<&str>) -> Option<Value> {
    match (is_protected, found) {
        (true, None) => Some(CONFIRM.into()),
        (false, Some(CONFIRM)) => Some(Value::Null),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protected_one_is_confirmed_unless_somebody_says_otherwise() {
        for (is_protected, found, wanted) in [
            (true, None, Some(CONFIRM.into())),
            (true, Some(CONFIRM), None),
            (true, Some("Prune=false"), None),
            (false, Some(CONFIRM), Some(Value::Null)),
            (false, Some("Prune=false"), None),
            (false, None, None),
        ] {
            assert_eq!(change(is_protected, found), wanted, "{is_protected} {found:?}");
        }
    }
}
