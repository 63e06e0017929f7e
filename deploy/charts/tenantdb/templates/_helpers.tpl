{{- define "tenantdb.labels" -}}
app.kubernetes.io/name: tenantdb
{{- end }}

{{- define "tenantdb.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* The id of the operator that is there already, if there is one: helm looks at the cluster where it has one. */}}
{{- define "tenantdb.runningClusterId" -}}
{{- $running := lookup "apps/v1" "Deployment" .Release.Namespace "tenantdb" -}}
{{- if $running -}}
{{- $arguments := (first $running.spec.template.spec.containers).args | default list -}}
{{- range $index, $argument := $arguments -}}
{{- if eq $argument "--cluster-id" }}{{ index $arguments (add1 $index) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "tenantdb.clusterId" -}}
{{- $running := include "tenantdb.runningClusterId" . -}}
{{- if not .Values.clusterId -}}
{{- if $running -}}
{{- fail (printf "clusterId is missing: give the one that this release has, with --set clusterId=%s, or --reuse-values" $running) -}}
{{- end -}}
{{- fail "clusterId is missing: what the ledgers of the database servers call this cluster. Choose one that will stay and that no other cluster has, such as --set clusterId=staging" -}}
{{- end -}}
{{- if and $running (ne $running .Values.clusterId) -}}
{{- fail (printf "clusterId is %s since it was installed, and can't become %s: everything that was made would be a stranger's" $running .Values.clusterId) -}}
{{- end -}}
{{- .Values.clusterId -}}
{{- end }}
