{{- define "presence.name" -}}
{{- /* Not "presence": a Service of that name would put PRESENCE_PORT into every pod beside it. */ -}}
{{- printf "%s-svc" (.Release.Name | trimSuffix "-svc") | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "presence.selector" -}}
app.kubernetes.io/name: presence-svc
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "presence.labels" -}}
{{ include "presence.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "presence.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}
