{{/* What a pod with a sidecar has more, as YAML. docs/guide/sidecar.md and deploy/sidecar/pod.yaml have the same by hand. */}}
{{- define "a3s-box.sidecar.config" -}}
{{- $config := fromYaml (include "a3s-box.commonConfig" .) -}}
{{- $own := dict "listen" (list "tcp://127.0.0.1:4088") "mounts" (list "/workspace" "/skills") -}}
{{- toToml (mergeOverwrite $config (dict "sandboxes" $own) (deepCopy .Values.config)) -}}
{{- end -}}

{{- define "a3s-box.sidecar.container" -}}
name: a3s-box
image: {{ include "a3s-box.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [/opt/a3s-box/bin/a3s-box]
args: [serve]
restartPolicy: Always
{{- if .Values.metrics.enabled }}
ports:
  - name: a3s-metrics
    containerPort: {{ .Values.metrics.port }}
    protocol: TCP
{{- end }}
securityContext:
  {{- include "a3s-box.securityContext" (dict "root" . "seccomp" (fromYaml (include "a3s-box.givenSeccomp" .))) | nindent 2 }}
resources:
  {{- include "a3s-box.resources" (dict "root" . "resources" .Values.sidecar.resources) | nindent 2 }}
# The app starts when sandboxes can be made.
startupProbe:
  {{- include "a3s-box.healthProbe" (dict "at" "'http://127.0.0.1:4088/healthz'") | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 10
  failureThreshold: 60
volumeMounts:
  - name: a3s-box-config
    mountPath: /etc/a3s-box
    readOnly: true
  - name: a3s-box-store
    mountPath: /var/lib/a3s-box
  - name: a3s-box-run
    mountPath: /run
  - name: a3s-box-tmp
    mountPath: /tmp
  - name: a3s-box-workspace
    mountPath: /workspace
  - name: a3s-box-skills
    mountPath: /skills
    readOnly: true
  {{- if .Values.llmConfig.secretName }}
  - name: a3s-box-llm
    mountPath: /etc/a3s
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "a3s-box.sidecar.emptyDir" -}}
{{- if . }}
emptyDir:
  sizeLimit: {{ . }}
{{- else }}
emptyDir: {}
{{- end }}
{{- end -}}

{{- define "a3s-box.sidecar.volumes" -}}
# The configuration stands in an annotation of the pod: nothing has to be made in its namespace.
- name: a3s-box-config
  downwardAPI:
    items:
      - path: config.toml
        fieldRef:
          apiVersion: v1
          fieldPath: metadata.annotations['a3s.dev/config.toml']
- name: a3s-box-store
  {{- include "a3s-box.sidecar.emptyDir" .Values.sidecar.storeSizeLimit | nindent 2 }}
- name: a3s-box-run
  emptyDir:
    medium: Memory
- name: a3s-box-tmp
  emptyDir:
    medium: Memory
- name: a3s-box-workspace
  {{- include "a3s-box.sidecar.emptyDir" .Values.sidecar.workspaceSizeLimit | nindent 2 }}
- name: a3s-box-skills
  {{- if .Values.sidecar.skills }}
  projected:
    sources:
      {{- toYaml .Values.sidecar.skills | nindent 6 }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- with .Values.llmConfig.secretName }}
- name: a3s-box-llm
  secret:
    secretName: {{ . }}
    optional: true
    defaultMode: 256
{{- end }}
{{- end -}}

{{/* A value as an expression of CEL. Literals of CEL have members of one type: each is made dynamic. */}}
{{- define "a3s-box.cel" -}}
{{- if kindIs "map" . -}}
{{- $members := list -}}
{{- range $key, $value := . -}}
{{- $members = append $members (printf "%s: %s" (toJson $key) (include "a3s-box.cel" $value)) -}}
{{- end -}}
dyn({ {{- join ", " $members -}} })
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (include "a3s-box.cel" .) -}}
{{- end -}}
dyn([ {{- join ", " $items -}} ])
{{- else if kindIs "string" . -}}
dyn({{ toJson . }})
{{- else if kindIs "bool" . -}}
dyn({{ . }})
{{- else if and (kindIs "float64" .) (ne (float64 (int64 .)) .) -}}
dyn({{ . }})
{{- else -}}
dyn({{ int64 . }})
{{- end -}}
{{- end -}}
