/*
 * The limit: what one core can do with this model and these bodies, in C, with nothing in between. One thread, epoll, a
 * hand-written HTTP/1.1 reader, the ONNX Runtime C API. It logs nothing and checks next to nothing; it is a ceiling, not a server.
 *
 *   limit DIR PORT [merge]
 *
 * DIR holds mlp.onnx, cnn.onnx and arrow.answer (see data.py). POST /mlp or /cnn with pandas-records JSON, an Arrow IPC
 * file (1,000 rows, mlp) or a v2 binary body; each is answered in kind. With `merge`, all requests of one epoll round that
 * carry the same kind of body run as one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "onnxruntime_c_api.h"

enum { JSON, V2, ARROW };
typedef struct { const char *name, *input, *output; int width, out_width; int64_t dims[4]; int rank; OrtSession *session; float *x, *y; int rows, capacity; } Model;
typedef struct { int fd; char *data; size_t length, capacity; } Connection;
typedef struct { Connection *connection; Model *model; int row, rows, kind; } Request;

static const OrtApi *ort;
static OrtMemoryInfo *memory;
static Model models[] = {
    {.name = "mlp", .input = "dense_input", .output = "dense_1", .width = 29, .out_width = 1, .dims = {0, 29}, .rank = 2, .capacity = 65536},
    {.name = "cnn", .input = "tensor", .output = "output", .width = 3 * 224 * 224, .out_width = 10, .dims = {0, 3, 224, 224}, .rank = 4, .capacity = 64},
};
static Request requests[4096];
static int request_count, merge;
static char *arrow_answer;
static size_t arrow_length, arrow_data;
static char out[8 << 20];

static void check(OrtStatus *status) {
  if (status) { fprintf(stderr, "%s\n", ort->GetErrorMessage(status)); exit(1); }
}

static void send_all(int fd, const char *data, size_t length) {
  while (length) {
    ssize_t n = write(fd, data, length);
    if (n > 0) { data += n; length -= n; continue; }
    if (n == 0) return;
    usleep(20);
  }
}

/* Every number outside a string, in order. Exact up to 15 digits without an exponent (Clinger), strtod beyond. */
static int read_floats(const char *p, const char *end, float *x, int max) {
  static const double ten[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  int n = 0;
  while (p < end) {
    if (*p == '"') { p = memchr(p + 1, '"', end - p - 1); if (!p) return -1; p++; continue; }
    if (*p != '-' && (*p < '0' || *p > '9')) { p++; continue; }
    const char *start = p;
    int negative = *p == '-', digits = 0, fraction = 0;
    uint64_t value = 0;
    if (negative) p++;
    for (; *p >= '0' && *p <= '9'; p++, digits++) value = value * 10 + (*p - '0');
    if (*p == '.') for (p++; *p >= '0' && *p <= '9'; p++, digits++, fraction++) value = value * 10 + (*p - '0');
    double number;
    if (digits > 15 || *p == 'e' || *p == 'E') number = strtod(start, (char **)&p);
    else number = (negative ? -(double)value : (double)value) / ten[fraction];
    if (n == max) return -1;
    x[n++] = (float)number;
  }
  return n;
}

/* The values buffer of the one list column of an Arrow file: footer -> first record batch -> its last buffer. */
static const float *arrow_values(const char *b, size_t length, int *count) {
  int32_t footer_length;
  memcpy(&footer_length, b + length - 10, 4);
  const char *footer = b + length - 10 - footer_length;
#define I32(at) (*(const int32_t *)(at))
#define U16(at) (*(const uint16_t *)(at))
#define FIELD(table, n) ((table) + (U16((table) - I32(table) + 4 + 2 * (n)) ? U16((table) - I32(table) + 4 + 2 * (n)) : 0))
  const char *table = footer + I32(footer);
  const char *blocks = FIELD(table, 3);
  blocks += I32(blocks) + 4;
  int64_t offset = *(const int64_t *)blocks;
  int32_t metadata = I32(blocks + 8);
  const char *message = b + offset + 8;
  message += I32(message);
  const char *batch = FIELD(message, 2);
  batch += I32(batch);
  const char *buffers = FIELD(batch, 2);
  buffers += I32(buffers);
  int n = I32(buffers);
  const int64_t *last = (const int64_t *)(buffers + 4) + 2 * (n - 1);
  *count = last[1] / 4;
  return (const float *)(b + offset + metadata + last[0]);
}

static void run(Model *m) {
  int64_t dims[4], out_dims[2] = {m->rows, m->out_width};
  memcpy(dims, m->dims, sizeof dims);
  dims[0] = m->rows;
  OrtValue *in, *result;
  check(ort->CreateTensorWithDataAsOrtValue(memory, m->x, sizeof(float) * m->rows * m->width, dims, m->rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in));
  check(ort->CreateTensorWithDataAsOrtValue(memory, m->y, sizeof(float) * m->rows * m->out_width, out_dims, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &result));
  check(ort->Run(m->session, NULL, &m->input, (const OrtValue *const *)&in, 1, &m->output, 1, &result));
  ort->ReleaseValue(in);
  ort->ReleaseValue(result);
  m->rows = 0;
}

static void answer(Request *r) {
  Model *m = r->model;
  const float *y = m->y + (size_t)r->row * m->out_width;
  int count = r->rows * m->out_width;
  char *body = out + 512, *p = body;
  const char *type = "application/json";
  char extra[64] = "";
  if (r->kind == JSON) {
    *p++ = '[';
    for (int i = 0; i < r->rows; i++) {
      p += sprintf(p, "%s{\"out\":{\"%s\":[", i ? "," : "", m->output);
      for (int j = 0; j < m->out_width; j++) p += sprintf(p, "%s%.9g", j ? "," : "", y[i * m->out_width + j]);
      p = stpcpy(p, "]}}");
    }
    *p++ = ']';
  } else if (r->kind == V2) {
    type = "application/octet-stream";
    int n = sprintf(p, "{\"model_name\":\"%s\",\"outputs\":[{\"name\":\"%s\",\"datatype\":\"FP32\",\"shape\":[%d,%d],\"parameters\":{\"binary_data_size\":%zu}}]}", m->name, m->output, r->rows, m->out_width, count * sizeof(float));
    sprintf(extra, "Inference-Header-Content-Length: %d\r\n", n);
    p = mempcpy(p + n, y, count * sizeof(float));
  } else {
    type = "application/vnd.apache.arrow.file";
    memcpy(arrow_answer + arrow_data, y, count * sizeof(float));
    p = mempcpy(p, arrow_answer, arrow_length);
  }
  char head[256];
  int n = sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", type, extra, (size_t)(p - body));
  memcpy(body - n, head, n);
  send_all(r->connection->fd, body - n, p - body + n);
}

static void flush_requests(void) {
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) if (models[i].rows) run(&models[i]);
  for (int i = 0; i < request_count; i++) answer(&requests[i]);
  request_count = 0;
}

static size_t header_number(const char *head, const char *end, const char *name) {
  size_t length = strlen(name);
  for (const char *line = memmem(head, end - head, "\r\n", 2); line && line < end; line = memmem(line + 2, end + 2 - (line + 2), "\r\n", 2))
    if (!strncasecmp(line + 2, name, length)) return strtoul(line + 2 + length, NULL, 10);
  return 0;
}

/* One request off the front of the buffer; 0 when it is not all there. */
static int take(Connection *c) {
  char *end = c->length < 16 ? NULL : memmem(c->data, c->length, "\r\n\r\n", 4);
  if (!end) return 0;
  size_t content = header_number(c->data, end, "content-length:"), v2 = header_number(c->data, end, "inference-header-content-length:");
  size_t total = end - c->data + 4 + content;
  if (total + 1 > c->capacity) { c->data = realloc(c->data, c->capacity = total + 65536); return 0; }
  if (c->length < total) return 0;
  int kind = v2 ? V2 : memmem(c->data, end - c->data, "vnd.apache.arrow", 16) ? ARROW : JSON;
  char *body = c->data + total - content, saved = c->data[total], *path = strchr(c->data, '/') + 1;
  c->data[total] = 0;
  Model *m = NULL;
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) if (!strncmp(path, models[i].name, strlen(models[i].name))) m = &models[i];
  int n = -1;
  if (m) {
    if (request_count && merge && requests[request_count - 1].kind != kind) flush_requests();
    if (m->rows + 1024 > m->capacity && m->rows) flush_requests();
    float *x = m->x + (size_t)m->rows * m->width;
    int max = (m->capacity - m->rows) * m->width;
    if (kind == JSON) n = read_floats(body, body + content, x, max);
    else if (kind == V2) { n = (content - v2) / 4; if (n <= max) memcpy(x, body + v2, content - v2); else n = -1; }
    else { const float *values = arrow_values(body, content, &n); if (n <= max) memcpy(x, values, n * sizeof(float)); else n = -1; }
  }
  if (n <= 0 || n % m->width) { static const char bad[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"; send_all(c->fd, bad, sizeof bad - 1); }
  else {
    requests[request_count++] = (Request){c, m, m->rows, n / m->width, kind};
    m->rows += n / m->width;
    if (!merge || request_count == 4096) flush_requests();
  }
  c->data[total] = saved;
  memmove(c->data, c->data + total, c->length -= total);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) { fprintf(stderr, "usage: limit DIR PORT [merge]\n"); return 2; }
  merge = argc > 3;
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  OrtEnv *env;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "limit", &env));
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  char file[4096];
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    Model *m = &models[i];
    OrtSessionOptions *options;
    check(ort->CreateSessionOptions(&options));
    check(ort->SetIntraOpNumThreads(options, 1));
    check(ort->SetInterOpNumThreads(options, 1));
    snprintf(file, sizeof file, "%s/%s.onnx", argv[1], m->name);
    check(ort->CreateSession(env, file, options, &m->session));
    m->x = aligned_alloc(64, (size_t)m->capacity * m->width * 4 / 64 * 64 + 64);
    m->y = aligned_alloc(64, (size_t)m->capacity * m->out_width * 4 / 64 * 64 + 64);
  }
  snprintf(file, sizeof file, "%s/arrow.answer", argv[1]);
  FILE *f = fopen(file, "rb");
  if (f) { /* first 8 bytes: where in the file the values go */
    uint64_t at;
    if (fread(&at, 8, 1, f) != 1) return 1;
    arrow_data = at;
    arrow_answer = malloc(1 << 20);
    arrow_length = fread(arrow_answer, 1, 1 << 20, f);
    fclose(f);
  }
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024)) { perror("listen"); return 1; }
  int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN}, events[256];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int n = epoll_wait(poll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      Connection *c = events[i].data.ptr;
      if (!c) {
        int fd;
        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          c = calloc(1, sizeof *c);
          c->fd = fd;
          c->data = malloc(c->capacity = 65536);
          event.data.ptr = c;
          epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        }
        continue;
      }
      ssize_t got = read(c->fd, c->data + c->length, c->capacity - c->length - 1);
      if (got <= 0) { close(c->fd); free(c->data); free(c); continue; }
      c->length += got;
      while (take(c)) {}
    }
    flush_requests();
  }
}
