{{/* What a container with Boxes in it needs: docs/adr/0117. The same list is in src/cli/rights-findings.ts; a test compares them. */}}
{{- define "a3s-box.capabilities" -}}
- CHOWN
- DAC_OVERRIDE
- FOWNER
- FSETID
- KILL
- MKNOD
- NET_ADMIN
- SETFCAP
- SETGID
- SETPCAP
- SETUID
- SYS_ADMIN
- SYS_CHROOT
{{- end -}}

{{/* Of the container, with its seccomp profile: a dict with the root, `seccomp`, and `capabilities` where it has more. */}}
{{- define "a3s-box.securityContext" -}}
runAsUser: 0
runAsNonRoot: false
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add:
    {{- if .capabilities }}
    {{- toYaml .capabilities | nindent 4 }}
    {{- else }}
    {{- include "a3s-box.capabilities" .root | nindent 4 }}
    {{- end }}
seccompProfile:
  {{- toYaml .seccomp | nindent 2 }}
appArmorProfile:
  type: {{ .root.Values.appArmor }}
{{- end -}}

{{- define "a3s-box.givenSeccomp" -}}
type: {{ .Values.seccomp.type }}
{{- if eq .Values.seccomp.type "Localhost" }}
localhostProfile: {{ required "seccomp.localhostProfile is needed where seccomp.type is Localhost" .Values.seccomp.localhostProfile }}
{{- end }}
{{- end -}}

{{/* Resources with the device: a dict with the root and `resources`. */}}
{{- define "a3s-box.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .root.Values.kvm.enabled -}}
{{- $_ := set $resources "limits" (merge (dict .root.Values.kvm.resource "1") (default (dict) $resources.limits)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* A quantity of Kubernetes in MiB, rounded up; 0 where none is given. */}}
{{- define "a3s-box.mebibytes" -}}
{{- $text := toString (default "0" .) -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if or (not $number) (not (hasKey $units $unit)) -}}
{{- fail (printf "%q is no quantity of memory: 8Gi, 512Mi" $text) -}}
{{- end -}}
{{- ceil (divf (mulf (float64 $number) (get $units $unit)) 1048576) | int64 -}}
{{- end -}}

{{/* Exits with 0 where /healthz answers: the image has no shell and no curl. `at`: what http.get is given. */}}
{{- define "a3s-box.healthProbe" -}}
exec:
  command:
    - /opt/a3s-box/node/bin/node
    - -e
    - {{ printf "require('http').get(%s,(a)=>process.exit(a.statusCode===200?0:1)).on('error',()=>process.exit(1))" .at | quote }}
{{- end -}}

{{/* The configuration that both modes of sandboxes share. */}}
{{- define "a3s-box.commonConfig" -}}
network: loopback
driver: {{ .Values.a3sBox.driver }}
log:
  level: {{ .Values.a3sBox.logLevel }}
cri:
  enabled: false
sandboxes:
  disk_bound: none
{{- if .Values.metrics.enabled }}
metrics:
  address: "0.0.0.0:{{ .Values.metrics.port }}"
{{- end }}
{{- end -}}
