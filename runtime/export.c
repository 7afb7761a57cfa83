/* export.c -- the command export: trained weights and buffers alone, for PyTorch and for programs that embed the
 * model. */
#include "trainer.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void default_path(const nn_program *p, char *to, size_t room)
{
    size_t n = 0;

    for (const char *s = p->name; *s != '\0' && n + 20 < room; s++)
        to[n++] = (char)tolower((unsigned char)*s);
    snprintf(to + n, room - n, ".safetensors");
}

bool nn_export(Trainer *t, Fault *f)
{
    const char *given = t->options.nfiles > 0 ? t->options.files[0] : NULL, *classes;
    StImage image = {0};
    Text notes = {0};
    char path[300], bytes[32];
    bool fine;

    default_path(t->p, path, sizeof path);
    if (!nn_trainer_load(t, t->options.run, f))
        return false;
    nn_text_print(&notes, "\"format\":\"pt\",\"nnc\":");
    nn_text_json(&notes, t->p->version, strlen(t->p->version));
    nn_text_print(&notes, ",\"model\":");
    nn_text_json(&notes, t->p->name, strlen(t->p->name));
    classes = nn_safetensors_note(&t->checkpoint.st, "classes");
    if (classes != NULL) {
        nn_text_print(&notes, ",\"classes\":");
        nn_text_json(&notes, classes, strlen(classes));
    }
    fine = !notes.failed || nn_fail_memory(f, "the notes", notes.n);
    fine = fine && nn_checkpoint_build(t->p, t->ctx, KEEP_WEIGHTS, nn_text(&notes), t->sources, &image, f) &&
           nn_file_save(given != NULL ? given : path, image.bytes, image.n, f);
    if (fine)
        printf("%s: the weights of %s, %s\n", given != NULL ? given : path, t->path,
               nn_bytes_text(bytes, (double)image.n));
    nn_safetensors_image_free(&image);
    nn_text_free(&notes);
    return fine;
}
