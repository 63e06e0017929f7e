//! What the operator tells beside what a plan does. The texts are Markdown of docs/reference/conditions.md.

tenantdb_core::notes! {
    CONTESTED: "Contested", Tenants, Either,
        "within two minutes it was put right twice, and changed back: it is left so for ten minutes",
        "find out who changes it";
    MEMBERSHIP_NOT_DECLARED: "MembershipNotDeclared", Servers, Platform,
        "CloudNativePG takes back what the administrator's role needs",
        "add the message's `inRoles` to the Cluster \
         ([how](../guide/kubernetes.md#a-cluster-of-cloudnativepg))";
}
