{{/* /etc/a3s-box/config.toml of the DaemonSet: the chart's, and the values' over it. */}}
{{- define "a3s-box.daemonSet.config" -}}
{{- $config := fromYaml (include "a3s-box.commonConfig" .) -}}
{{- $ds := .Values.daemonSet -}}
{{- $sandboxes := dict "socket_mode" $ds.socket.mode -}}
{{- $listen := list (printf "unix://%s/a3s-box.sock" $ds.socket.directory) -}}
{{- if eq $ds.callers "namespaces" -}}
{{- $_ := mergeOverwrite $sandboxes (dict "unix_callers" "known" "kubelet" $ds.kubelet.url) -}}
{{- if include "a3s-box.daemonSet.asksByTls" . -}}
{{- $ca := ternary "/etc/a3s-kubelet/ca.crt" "/etc/a3s-kubelet-ca.crt" (eq $ds.kubelet.caFile "cluster") -}}
{{- $_ := mergeOverwrite $sandboxes (dict "kubelet_ca_file" $ca "kubelet_token_file" "/etc/a3s-kubelet/token") -}}
{{- end -}}
{{- else -}}
{{- $_ := set $sandboxes "unix_callers" "anyone" -}}
{{- end -}}
{{- if $ds.tcp.enabled -}}
{{- $listen = append $listen (printf "tcp://0.0.0.0:%d" (int $ds.tcp.port)) -}}
{{- if not $ds.tcp.tokens -}}
{{- fail "daemonSet.tcp.enabled needs daemonSet.tcp.tokens: whoever comes would run programs" -}}
{{- end -}}
{{- if not (or $ds.tcp.tlsSecretName $ds.tcp.plain) -}}
{{- fail "daemonSet.tcp.enabled needs daemonSet.tcp.tlsSecretName, or plain: true where something else encrypts: tokens would travel in clear" -}}
{{- end -}}
{{- if $ds.tcp.tlsSecretName -}}
{{- $_ := mergeOverwrite $sandboxes (dict "tls_cert_file" "/etc/a3s-tls/tls.crt" "tls_key_file" "/etc/a3s-tls/tls.key") -}}
{{- end -}}
{{- if $ds.tcp.plain -}}
{{- $_ := set $sandboxes "plain" true -}}
{{- end -}}
{{- $tokens := dict -}}
{{- range $ds.tcp.tokens -}}
{{- $_ := set $tokens .name (dict "token_file" (printf "/etc/a3s-tokens/%s" .name) "tenant" (default .name .tenant)) -}}
{{- end -}}
{{- $_ := set $sandboxes "tokens" $tokens -}}
{{- end -}}
{{- $_ := set $sandboxes "listen" $listen -}}
{{- if $ds.outlive.enabled -}}
{{- $limit := dig "limits" "memory" "0" $ds.resources -}}
{{- $_ := set $config "cgroup" (dict "outlive_container" true "memory_mib" (include "a3s-box.mebibytes" $limit | int64)) -}}
{{- $_ := set $sandboxes "unserved_ms" (mul 1000 (int64 $ds.outlive.seconds)) -}}
{{- end -}}
{{- toToml (mergeOverwrite $config (dict "sandboxes" $sandboxes) (deepCopy .Values.config)) -}}
{{- end -}}

{{/* Whether kubelet is asked, and wants to know by whom: not at its port for reading. Empty: no. */}}
{{- define "a3s-box.daemonSet.asksByTls" -}}
{{- if and (eq .Values.daemonSet.callers "namespaces") (hasPrefix "https://" .Values.daemonSet.kubelet.url) -}}
yes
{{- end -}}
{{- end -}}

{{- define "a3s-box.daemonSet.seccompFile" -}}
{{- printf "%s.json" (include "a3s-box.clusterName" .) -}}
{{- end -}}
