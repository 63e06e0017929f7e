//! Declarations as a user would write them.

use crate::TestServer;

/// The variable that [`server_manifest`] takes the administrator's password from.
pub const ADMIN_PASSWORD_VARIABLE: &str = "TEST_ADMIN_PASSWORD";

/// The declaration of a test server as `shared`.
#[must_use]
pub fn server_manifest(server: &TestServer) -> String {
    format!(
        "apiVersion: tenantdb.dev/v1alpha1\n\
         kind: DatabaseServer\n\
         metadata: {{name: shared}}\n\
         spec:\n  \
           default: true\n  \
           source: {{endpoint: {{host: {}, port: {}}}}}\n  \
           admin: {{username: {}, passwordFrom: [{{env: {ADMIN_PASSWORD_VARIABLE}}}]}}\n  \
           tls: {{mode: disable}}\n",
        server.host(),
        server.port(),
        server.admin_username(),
    )
}

/// The declaration of a tenant in the namespace `default`, to follow others; `spec` is YAML in flow style.
#[must_use]
pub fn tenant_manifest(name: &str, spec: &str) -> String {
    format!("---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantDatabase\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}
