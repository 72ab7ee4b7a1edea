{{- define "proving-operator.labels" -}}
app.kubernetes.io/name: obelysk-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: obelysk
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}
{{- define "proving-operator.selector" -}}
app.kubernetes.io/name: obelysk-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
