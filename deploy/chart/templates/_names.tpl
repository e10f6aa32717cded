{{/* Names and labels. */}}
{{- define "a3s-box.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "a3s-box.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "a3s-box.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of objects that no namespace has: two releases of one name are in two namespaces. */}}
{{- define "a3s-box.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "a3s-box.fullname" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "a3s-box.selector" -}}
app.kubernetes.io/name: {{ include "a3s-box.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of the pods of mode daemonset: a release has others too, the operator's. */}}
{{- define "a3s-box.serverSelector" -}}
{{ include "a3s-box.selector" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "a3s-box.labels" -}}
{{ include "a3s-box.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: a3s-box
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.global.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "a3s-box.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "a3s-box.pullSecrets" -}}
{{- range .Values.image.pullSecrets }}
- name: {{ . }}
{{- end }}
{{- end -}}
