{{- define "tenantdb.labels" -}}
app.kubernetes.io/name: tenantdb
{{- end }}

{{- define "tenantdb.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "tenantdb.clusterId" -}}
{{- required "clusterId is missing: what the ledgers of the database servers call this cluster. Choose one that will stay and that no other cluster has, such as --set clusterId=staging" .Values.clusterId -}}
{{- end }}
